#include "sensor/issued.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sensor/targets.h"

static const char *address_text(const struct target *t, char *buf, size_t n)
{
	return inet_ntop(t->family == 4 ? AF_INET : AF_INET6, t->address, buf, (socklen_t)n);
}

int issued_load(const char *path, struct targets *t)
{
	FILE *f = fopen(path, "re");
	char line[128], text[64], own[INET6_ADDRSTRLEN];
	unsigned prefix;
	uint32_t first;

	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "next %" SCNu32, &first) == 1 && first <= INT32_MAX)
			targets_reserve(t, first);
		if (sscanf(line, "%63[0-9a-f.:]/%u %" SCNu32, text, &prefix, &first) != 3)
			continue;
		for (size_t i = 0; i < targets_n(t); i++) {
			const struct target *e = targets_at(t, i);

			if (e->prefix_length == prefix &&
				strcmp(address_text(e, own, sizeof(own)), text) == 0)
				targets_issue(t, i, first);
		}
	}
	(void)fclose(f);
	return 0;
}

int issued_save(const char *path, const struct targets *t)
{
	AUTO_FREE char *temporary = NULL;
	char own[INET6_ADDRSTRLEN];
	FILE *f;
	int fd, r = 0;

	if (asprintf(&temporary, "%s.new", path) < 0)
		return -ENOMEM;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	f = fdopen(fd, "w");
	if (!f) {
		(void)close(fd);
		return -ENOMEM;
	}
	for (size_t i = 0; i < targets_n(t); i++) {
		const struct target *e = targets_at(t, i);

		(void)fprintf(f, "%s/%u %" PRIu32 "\n", address_text(e, own, sizeof(own)),
			e->prefix_length, e->first);
	}
	(void)fprintf(f, "next %" PRIu32 "\n", targets_next(t));
	if (fflush(f) != 0 || fsync(fd) < 0)
		r = -errno;
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	return r;
}
