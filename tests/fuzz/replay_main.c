/*
 * Runs a fuzz target over the files of the folders given, without libFuzzer: so gcc and plain
 * builds run every corpus too. Each file is given whole and cut at every length (long ones: at 512
 * lengths), in memory of exactly that size, so that a sanitizer sees a read of one byte too many.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cut points of one file; a target costs microseconds, so a corpus of a thousand files stays under
 * a minute. */
#define CUTS_MAX 512u

static int run(const uint8_t *data, size_t n)
{
	uint8_t *exact = malloc(n > 0 ? n : 1);
	if (!exact)
		return -ENOMEM;
	memcpy(exact, data, n);
	(void)LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

static int replay(const char *path, size_t n)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return -errno;
	uint8_t *data = malloc(n > 0 ? n : 1);
	int r = data ? 0 : -ENOMEM;
	if (r == 0 && fread(data, 1, n, f) != n)
		r = -EIO;
	(void)fclose(f);
	size_t step = n / CUTS_MAX + 1;
	for (size_t cut = 0; r == 0 && cut < n; cut += step)
		r = run(data, cut);
	if (r == 0)
		r = run(data, n);
	free(data);
	return r;
}

static int replay_folder(const char *folder, unsigned *files)
{
	struct dirent **entries;
	int n = scandir(folder, &entries, NULL, alphasort);
	if (n < 0)
		return -errno;
	int r = 0;
	for (int i = 0; i < n; i++) {
		char path[4096];
		struct stat st;
		int length = snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		if (r == 0 && (length < 0 || (size_t)length >= sizeof(path)))
			r = -ENAMETOOLONG;
		if (r == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			r = replay(path, (size_t)st.st_size);
			(*files)++;
		}
		free(entries[i]);
	}
	free(entries);
	return r;
}

int main(int argc, char **argv)
{
	unsigned files = 0;
	for (int i = 1; i < argc; i++) {
		int r = replay_folder(argv[i], &files);
		if (r < 0) {
			(void)fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
			return EXIT_FAILURE;
		}
	}
	(void)printf("%u files\n", files);
	return files > 0 ? EXIT_SUCCESS : EXIT_FAILURE; /* an empty corpus tests nothing */
}
