#include "collector/admin/export_job.h"

#include <string.h>

bool export_count(struct export *x, const char *reason, int64_t sources, int64_t packets)
{
	if (!*reason) {
		x->rows++;
		x->sources += sources;
		x->packets += packets;
		return true;
	}
	for (size_t i = 0; i < EXPORT_REASONS_MAX; i++) {
		struct export_left *left = &x->left[i];

		if (i == x->left_n) {
			(void)snprintf(left->reason, sizeof(left->reason), "%s", reason);
			x->left_n++;
		}
		if (strcmp(left->reason, reason) == 0) {
			left->sources += sources;
			left->packets += packets;
			break;
		}
	}
	return false;
}
