#include "collector/admin/export_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>

#include "collector/admin/path.h"

static void note_error(struct export_file *e, int error)
{
	if (e->error == 0)
		e->error = error;
}

int export_file_open(const char *path, struct export_file *ret)
{
	int fd, r;

	*ret = (struct export_file){0};
	if (path_exists(path))
		return -EEXIST;
	ret->path = strdup(path);
	ret->hash = EVP_MD_CTX_new();
	if (!ret->path || !ret->hash || EVP_DigestInit_ex(ret->hash, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	if (asprintf(&ret->temporary, "%s.XXXXXX", path) < 0) {
		ret->temporary = NULL;
		return -ENOMEM;
	}
	fd = mkstemp(ret->temporary); /* 0600 */
	if (fd < 0) {
		r = -errno;
		free(ret->temporary);
		ret->temporary = NULL;
		return r;
	}
	ret->f = fdopen(fd, "w");
	if (ret->f)
		return 0;
	r = -errno;
	(void)close(fd);
	return r;
}

void export_file_write(struct export_file *e, const void *p, size_t n)
{
	if (e->error != 0 || n == 0)
		return;
	if (fwrite(p, 1, n, e->f) != n)
		note_error(e, errno != 0 ? -errno : -EIO);
	else if (EVP_DigestUpdate(e->hash, p, n) != 1)
		note_error(e, -ENOMEM);
}

int export_file_finish(struct export_file *e, char ret_sha256[static EXPORT_SHA256_TEXT])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	FILE *f = e->f;

	e->f = NULL;
	if (fflush(f) != 0 || fsync(fileno(f)) < 0)
		note_error(e, -errno);
	if (fclose(f) != 0)
		note_error(e, -errno);
	if (EVP_DigestFinal_ex(e->hash, digest, &n) != 1)
		note_error(e, -ENOMEM);
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(ret_sha256 + (size_t)2 * i, 3, "%02x", digest[i]);
	return e->error;
}

int export_file_publish(struct export_file *e)
{
	if (renameat2(AT_FDCWD, e->temporary, AT_FDCWD, e->path, RENAME_NOREPLACE) < 0) {
		/* Some file systems (NFS) only know the plain one. */
		if (errno != EINVAL)
			return -errno;
		if (path_exists(e->path))
			return -EEXIST;
		if (rename(e->temporary, e->path) < 0)
			return -errno;
	}
	free(e->temporary);
	e->temporary = NULL;
	return 0;
}

void export_file_done(struct export_file *e)
{
	if (e->f)
		(void)fclose(e->f);
	if (e->temporary)
		(void)unlink(e->temporary);
	free(e->temporary);
	free(e->path);
	EVP_MD_CTX_free(e->hash);
	*e = (struct export_file){0};
}
