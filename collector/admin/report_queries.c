#include "collector/admin/report_queries.h"

#define HOME "jsonb_build_object('home', a.home)"
#define DOMESTIC "jsonb_build_object('home', a.home, 'grp', 'domestic')"
#define DOMESTIC_PORTS "jsonb_build_object('home', a.home, 'grp', 'domestic', 'ports_only', true)"
#define FROM_HOME "jsonb_build_object('home', a.home, 'src_region', a.home)"
#define DOMESTIC_FROM_HOME \
	"jsonb_build_object('home', a.home, 'grp', 'domestic', 'src_region', a.home)"
/* A day of the reporting zone. */
#define DAY "(t.step_start AT TIME ZONE a.zone)::date"

/* What the name of a service is here: what it is scanned for, else IANA's. */
#define SERVICE_COLUMNS                                                                    \
	"t.rank, t.service, coalesce(t.common_name, t.name, '\u2013') AS name, t.packets," \
	" t.hosts, t.share, t.previous_rank, t.previous_covered, t.dataset, t.as_of"

const char report_sql_top_services[] =
	"SELECT " SERVICE_COLUMNS " FROM argument a, report.top_services(a.period, " DOMESTIC_PORTS
	", 5) t";

const char report_sql_home_services[] =
	"SELECT " SERVICE_COLUMNS
	" FROM argument a, report.top_services(a.period, " DOMESTIC_FROM_HOME ", 5) t";

const char report_sql_service_trend[] =
	"WITH top AS MATERIALIZED (SELECT t.rank, t.service, t.hosts"
	" FROM argument a, report.top_services(a.period, " DOMESTIC_PORTS ", 5) t)"
	" SELECT " DAY " AS day, p.service, t.packets_per_address_day AS mean, t.hosts,"
	" p.hosts AS of_service, t.dataset, t.as_of"
	" FROM argument a"
	" CROSS JOIN (SELECT jsonb_agg(service) AS services"
	" FROM top) l"
	" CROSS JOIN LATERAL report.service_trend(a.period, " DOMESTIC_PORTS " ||"
	" jsonb_build_object('services', l.services), 'day') t"
	" JOIN top p USING (service)"
	" WHERE l.services IS NOT NULL"
	" ORDER BY t.step_start, p.rank";

const char report_sql_top_regions[] =
	"SELECT t.rank, t.region, coalesce(t.name, t.region) AS name, t.packets, t.hosts,"
	" t.share, t.previous_rank, t.previous_covered, t.dataset, t.as_of"
	" FROM argument a, report.top_source_regions(a.period, " DOMESTIC ", 5) t";

const char report_sql_region_trend[] =
	"WITH top AS MATERIALIZED (SELECT t.rank, t.region, coalesce(t.name, t.region) AS name, "
	"t.hosts"
	" FROM argument a, report.top_source_regions(a.period, " DOMESTIC ", 5) t)"
	" SELECT " DAY " AS day, p.name AS region, t.packets_per_address_day AS mean,"
	" t.hosts, p.hosts AS of_region, t.dataset, t.as_of"
	" FROM argument a"
	" CROSS JOIN LATERAL report.source_region_trend(a.period, " DOMESTIC ", 5, 'day') t"
	" JOIN top p USING (region)"
	" ORDER BY t.step_start, p.rank";

const char report_sql_ack[] =
	"SELECT " DAY " AS day, CASE t.kind WHEN 'ack' THEN 'ACK' WHEN 'synack' THEN"
	" 'SYN-ACK' ELSE 'RST-ACK' END AS kind, t.packets, t.hosts, t.dataset, t.as_of"
	" FROM argument a, report.ack_packets(a.period, " FROM_HOME ", 'day') t"
	" ORDER BY t.step_start, array_position('{ack,synack,rstack}', t.kind)";

/* Hosts of kinds don't add up: the most of one kind are at least behind the sum. */
const char report_sql_ack_days[] =
	"WITH by_day AS (SELECT " DAY
	" AS day, sum(t.packets)::bigint AS packets, max(t.hosts) AS fewest,"
	" max(t.dataset) AS dataset, max(t.as_of) AS as_of"
	" FROM argument a, report.ack_packets(a.period, " FROM_HOME ", 'day') t"
	" GROUP BY 1)"
	" SELECT d.day, d.packets, d.packets / nullif(m.median, 0) AS times, d.fewest,"
	" d.dataset, d.as_of"
	" FROM by_day d"
	" CROSS JOIN (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY packets) AS median"
	" FROM by_day) m"
	" WHERE d.fewest >= 5"
	" ORDER BY d.packets DESC, d.day"
	" LIMIT 6";

/* Of an organization's sum and all kinds but one, that one could be found out. */
const char report_sql_ack_organizations[] =
	"SELECT t.rank, t.organization, CASE t.kind WHEN 'ack' THEN 'ACK' WHEN 'synack'"
	" THEN 'SYN-ACK' ELSE 'RST-ACK' END AS kind, t.packets, t.hosts, t.share,"
	" t.organization_share, min(t.hosts) OVER (PARTITION BY t.rank) AS fewest,"
	" max(t.hosts) OVER (PARTITION BY t.rank) AS most, t.dataset, t.as_of"
	" FROM argument a, report.ack_organizations(a.period, " FROM_HOME ", 10) t"
	" ORDER BY t.rank, array_position('{ack,synack,rstack}', t.kind)";

/* Each month and group: means, and whether hosts enough are behind them (fewest, and of the year
 * before). */
#define MEANS                                                                              \
	"means AS (SELECT t.step_start, to_char(m.first, 'YYYY-MM') AS month, t.grp, "     \
	"t.mean_packets"                                                                   \
	" AS mean, t.mean_year_before AS before, t.mean_same_sensors AS same,"             \
	" t.mean_year_before_same_sensors AS same_before,"                                 \
	" hirundo.published_hosts(daterange(m.first, (m.first + interval '1"               \
	" month')::date), i.ids) AS fewest, hirundo.published_hosts(daterange((m.first -"  \
	" interval '1 year')::date, (m.first - interval '11 months')::date), i.ids) AS"    \
	" fewest_before, t.dataset, t.as_of"                                               \
	" FROM argument a"                                                                 \
	" CROSS JOIN LATERAL report.packets_per_sensor_day(a.period, " HOME ", 'month') t" \
	" CROSS JOIN LATERAL (SELECT " DAY " AS first) m"                                  \
	" CROSS JOIN LATERAL (SELECT ARRAY(SELECT s.sensor_id"                             \
	" FROM hirundo.sensor s"                                                           \
	" WHERE (s.region = a.home) = (t.grp = 'domestic')) AS ids) i)"

const char report_sql_means[] =
	"WITH " MEANS " SELECT m.month, m.grp || v.suffix AS series, v.mean, v.fewest, m.dataset,"
	" m.as_of"
	" FROM means m"
	" CROSS JOIN LATERAL (VALUES (1, '', m.mean, m.fewest), (2, ', a year before',"
	" m.before, m.fewest_before)) AS v (n, suffix, mean, fewest)"
	" ORDER BY m.step_start, m.grp, v.n";

const char report_sql_means_year[] =
	"WITH " MEANS
	" SELECT grp, month, mean, before, same, same_before, same / nullif(same_before,"
	" 0) - 1 AS change, fewest, least(fewest, fewest_before) AS fewest_before,"
	" dataset, as_of"
	" FROM means"
	" ORDER BY grp, step_start";

/* Hosts by sensor of every service that is in some sensor's list. What fewer than two sensors saw
 * from enough hosts may be a mark that somebody set to find the one: it is left out, without a gap.
 */
#define BY_SENSOR                                                                      \
	"ranked AS MATERIALIZED (SELECT s.sensor_id, t.*"                              \
	" FROM argument a"                                                             \
	" CROSS JOIN LATERAL report.top_services_by_sensor(a.period, " HOME ", 100) t" \
	" JOIN hirundo.sensor s ON s.name = t.sensor"                                  \
	" WHERE a.labels ? s.sensor_id::text AND t.rank IS NOT NULL),"                 \
	" seen AS MATERIALIZED (SELECT h.sensor_id, h.service, h.hosts"                \
	" FROM argument a"                                                             \
	" CROSS JOIN LATERAL hirundo.published_services(a.period,"                     \
	" ARRAY(SELECT DISTINCT service FROM ranked)) h"                               \
	" WHERE h.sensor_id IN (SELECT sensor_id FROM ranked)),"                       \
	" told AS (SELECT service FROM seen"                                           \
	" GROUP BY service HAVING count(*) FILTER (WHERE hosts >= 5) >= 2)"

const char report_sql_sensors[] =
	"WITH " BY_SENSOR " SELECT * FROM (SELECT a.labels->>r.sensor_id::text AS label,"
	" row_number() OVER (PARTITION BY r.sensor_id ORDER BY r.rank) AS rank,"
	" r.service, r.packets, r.sensor_id, r.rank AS of_all, h.hosts, r.dataset, r.as_of"
	" FROM argument a"
	" CROSS JOIN ranked r"
	" JOIN seen h USING (sensor_id, service)"
	" JOIN told USING (service)"
	" WHERE h.hosts >= 5) x"
	" WHERE rank <= 10"
	" ORDER BY split_part(label, ' ', 1), split_part(label, ' ', 2)::int, rank";

const char report_sql_common[] =
	"WITH " BY_SENSOR
	" SELECT t.service, t.sensors_in_top_n AS sensors, t.of_sensors, t.best_rank,"
	" t.worst_rank, t.sensors_seen, t.dataset, t.as_of"
	" FROM argument a"
	" CROSS JOIN LATERAL (SELECT c.*, row_number() OVER () AS n"
	" FROM report.common_services(a.period, " HOME ", 10) c) t"
	" JOIN told USING (service)"
	" ORDER BY t.n";

const char report_sql_mirai[] =
	"SELECT t.day, coalesce(t.name, t.region) AS region, t.hosts, t.as_of, t.dataset"
	" FROM argument a, report.mirai_hosts(a.period, " DOMESTIC ", 5) t"
	" WHERE t.region IS NOT NULL";

/* Who knows a sum and all but one of its parts knows that part. */
const char report_sql_mirai_total[] =
	"WITH by_day AS (SELECT t.day, max(t.total_hosts) AS total, max(t.top_hosts) AS top, "
	"min(t.hosts)"
	" AS least, sum(t.hosts) FILTER (WHERE t.hosts >= 5) AS shown, max(t.dataset) AS"
	" dataset, max(t.as_of) AS as_of"
	" FROM argument a, report.mirai_hosts(a.period, " DOMESTIC ", 5) t"
	" GROUP BY t.day)"
	" SELECT d.day, v.series, v.hosts, v.fewest, d.dataset, d.as_of"
	" FROM by_day d"
	" CROSS JOIN LATERAL (VALUES (1, 'all regions', d.total, CASE WHEN d.least < 5 THEN"
	" d.total - coalesce(d.shown, 0) ELSE d.total END), (2, 'the five together',"
	" d.top, d.least)) AS v (n, series, hosts, fewest)"
	" ORDER BY d.day, v.n";

const char report_sql_ttl[] =
	"WITH place AS (SELECT s.region, count(*) > 1 OR a.single_regions AS shown"
	" FROM argument a, hirundo.sensor s"
	" WHERE a.labels ? s.sensor_id::text"
	" GROUP BY s.region, a.single_regions),"
	" part AS (SELECT shown, jsonb_agg(region) AS regions, count(*) AS n"
	" FROM place"
	" GROUP BY shown)"
	" SELECT coalesce(n.name, t.sensor_region) AS region, t.initial_ttl::text,"
	" t.ttl_p5, t.ttl_p95, t.sources, t.covered, t.dataset, t.as_of"
	" FROM argument a, part p, report.ttl_by_region(a.period,"
	" jsonb_build_object('home', a.home, 'sensor_region', p.regions)) t"
	" LEFT JOIN hirundo.region_name n ON n.region = t.sensor_region"
	" WHERE p.shown AND t.sensor_region IS NOT NULL"
	" UNION ALL"

	" SELECT 'one sensor each: ' || p.n || ' regions', 'any', t.ttl_p5, t.ttl_p95,"
	" t.sources, t.covered, t.dataset, t.as_of"
	" FROM argument a, part p, report.ttl_by_region(a.period,"
	" jsonb_build_object('home', a.home, 'sensor_region', p.regions)) t"
	" WHERE NOT p.shown AND p.n > 1 AND t.sensor_region IS NULL"
	" UNION ALL"

	" SELECT 'all', 'any', t.ttl_p5, t.ttl_p95, t.sources, t.covered, t.dataset,"
	" t.as_of"
	" FROM argument a, report.ttl_by_region(a.period, jsonb_build_object('home',"
	" a.home)) t"
	" WHERE t.sensor_region IS NULL";

const char report_sql_verdicts[] =
	"SELECT (v.step_start AT TIME ZONE a.zone)::date AS step, v.spoofed, v.genuine,"
	" v.undetermined, v.share, v.\"interval\"[1] AS interval_from, v.\"interval\"[2]"
	" AS interval_to, least(v.spoofed, v.genuine) AS fewest, v.dataset, v.as_of"
	" FROM argument a, report.verdict_share(a.period, jsonb_build_object('home',"
	" a.home), 'week') v";

const char report_sql_verdict_figure[] =
	"SELECT (v.step_start AT TIME ZONE a.zone)::date AS step, 'spoofed' AS series,"
	" v.share, least(v.spoofed, v.genuine) AS fewest, v.dataset, v.as_of"
	" FROM argument a, report.verdict_share(a.period, jsonb_build_object('home',"
	" a.home), 'week') v";

/* A campaign is one of a day, so campaigns of days are counted. */
const char report_sql_campaigns[] =
	"SELECT to_char(m.start, 'YYYY-MM') AS month, j.judged, CASE WHEN j.judged > 0"
	" THEN coalesce(c.days, 0) END AS days, CASE WHEN j.judged > 0 THEN"
	" coalesce(c.campaigns, 0) END AS campaigns, CASE WHEN j.judged > 0 THEN"
	" coalesce(c.services, 0) END AS services, CASE WHEN j.judged > 0 THEN"
	" coalesce(c.packets, 0) END AS packets, CASE WHEN j.judged > 0 THEN"
	" coalesce(c.networks, 0) END AS networks, c.dataset, c.as_of"
	" FROM argument a"
	" CROSS JOIN generate_series(lower(a.period)::timestamp, upper(a.period) - interval '1"
	" day', interval '1 month') AS m (start)"
	" CROSS JOIN LATERAL (SELECT count(*) AS judged"
	" FROM hirundo.hop_model h"
	" WHERE h.day >= m.start::date AND h.day < (m.start + interval '1 month')::date)"
	" j"
	" LEFT JOIN (SELECT date_trunc('month', s.day::timestamp) AS start, count(DISTINCT s.day) "
	"AS"
	" days, count(*) AS campaigns, count(DISTINCT s.service) AS services,"
	" sum(s.packets)::bigint AS packets, max(s.claimed_holders) AS networks,"
	" min(s.claimed_sources) AS sources, max(s.dataset) AS dataset, max(s.as_of) AS"
	" as_of"
	" FROM argument b, report.spoof_campaigns(b.period, jsonb_build_object('home',"
	" b.home)) s"
	" GROUP BY 1) c ON c.start = m.start"
	" ORDER BY m.start";

/* Sensors that listened at all in the quarter; the share is of their time in the month. */
const char report_sql_coverage[] =
	"SELECT g.grp, to_char(c.step_start AT TIME ZONE a.zone, 'YYYY-MM') AS month,"
	" count(*) FILTER (WHERE c.covered_seconds > 0) AS sensors,"
	" sum(c.covered_seconds) / 86400 AS days, sum(c.covered_seconds) /"
	" nullif(extract(epoch"
	" FROM ((date_trunc('month', c.step_start AT TIME ZONE a.zone) + interval '1"
	" month') AT TIME ZONE a.zone - c.step_start)) * count(*), 0) AS share,"
	" sum(c.packets)::bigint AS packets, sum(c.lost)::bigint AS lost"
	" FROM argument a"
	" CROSS JOIN (VALUES (1, 'domestic'), (2, 'overseas')) AS g (n, grp)"
	" CROSS JOIN LATERAL (SELECT jsonb_agg(s.sensor_id) AS ids"
	" FROM hirundo.sensor s"
	" WHERE a.labels ? s.sensor_id::text AND (s.region = a.home) = (g.grp ="
	" 'domestic')) i"
	" CROSS JOIN LATERAL report.coverage(a.period, jsonb_build_object('sensors', i.ids),"
	" 'month') c"
	" WHERE i.ids IS NOT NULL"
	" GROUP BY a.zone, g.n, g.grp, c.step_start"
	" ORDER BY g.n, c.step_start";

/* Imports that were active in any of the states used. */
const char report_sql_address_data[] =
	"SELECT d.kind, d.name, min(d.source_date) AS oldest, max(d.source_date) AS"
	" newest, count(*) AS imports"
	" FROM argument a"
	" CROSS JOIN LATERAL (SELECT min(i.id) AS low, max(i.id) AS high"
	" FROM unnest(a.dataset_ids) AS i (id)) u"
	" JOIN hirundo.enrichment_dataset d ON d.kind NOT IN ('scanners', 'groups') AND "
	"d.dataset_id <= u.high"
	" AND NOT EXISTS (SELECT"
	" FROM hirundo.enrichment_dataset e"
	" WHERE e.kind = d.kind AND e.dataset_id > d.dataset_id AND e.dataset_id <="
	" u.low)"
	" GROUP BY d.kind, d.name"
	" ORDER BY d.kind, d.name";
