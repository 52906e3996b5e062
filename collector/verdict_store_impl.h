/* What goes into the tables of the verdict, in their words. For verdict_store.c and
 * verdict_store_model.c. */
#ifndef HIRUNDO_COLLECTOR_VERDICT_STORE_IMPL_H
#define HIRUNDO_COLLECTOR_VERDICT_STORE_IMPL_H

#include <string.h>

#include "collector/verdict_copy_out.h"
#include "collector/verdict_day.h"
#include "common/bytes.h"

/** A campaign's name with its zero byte. */
#define CAMPAIGN_MAX 64

static inline uint32_t stored_sensor(const struct verdict_day *d, uint16_t sensor)
{
	return load_be32(intern_key(&d->sensors, sensor));
}

static inline uint64_t stored_signature(const struct verdict_day *d, uint32_t number)
{
	return load_be64(intern_key(&d->signatures, number));
}

static inline void add_string(struct copy_out *c, const char *text)
{
	copy_text(c, text, strlen(text));
}

static inline void add_region(const struct verdict_day *d, struct copy_out *c, uint16_t region)
{
	if (region == VERDICT_NONE)
		copy_null(c);
	else
		copy_text(c, intern_key(&d->regions, region), 2);
}

static inline void add_holder(const struct verdict_day *d, struct copy_out *c, uint32_t holder)
{
	add_string(c, intern_key(&d->holders, holder));
}

/** family, signature, initial TTL, and a rank where several have these in common */
void campaign_name(const struct verdict_day *d, const struct verdict_result *r, unsigned family,
	uint32_t campaign, char text[CAMPAIGN_MAX]);

/** Profiles, as a whole day taught them: in place of those that the tables have of the day.
 *  @param r  [family]
 *  @return as verdict_store */
int store_profiles(PGconn *conn, const struct verdict_day *d, const struct verdict_result r[2],
	const char *day) MUST_CHECK;
/** Campaigns that the tables do not have. @return as verdict_store */
int store_campaigns(PGconn *conn, const struct verdict_day *d, const struct verdict_result r[2],
	const char *day) MUST_CHECK;

#endif
