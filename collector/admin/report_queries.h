/*
 * The queries behind a report's sections. Each reads "argument", one row: period, home, zone,
 * labels (by sensor_id), single_regions, dataset_ids. Its columns are those of the section, and
 * dataset where address data are behind it. Column "fewest" is the least number of hosts that a row
 * tells of, or that could be found out from it.
 */
#ifndef HIRUNDO_COLLECTOR_ADMIN_REPORT_QUERIES_H
#define HIRUNDO_COLLECTOR_ADMIN_REPORT_QUERIES_H

extern const char report_sql_top_services[];
extern const char report_sql_service_trend[];
extern const char report_sql_home_services[];
extern const char report_sql_top_regions[];
extern const char report_sql_region_trend[];
extern const char report_sql_ack[];
extern const char report_sql_ack_days[];
extern const char report_sql_ack_organizations[];
extern const char report_sql_means[];
extern const char report_sql_means_year[];
extern const char report_sql_sensors[];
extern const char report_sql_common[];
extern const char report_sql_mirai[];
extern const char report_sql_mirai_total[];
extern const char report_sql_ttl[];
extern const char report_sql_verdict_figure[];
extern const char report_sql_verdicts[];
extern const char report_sql_campaigns[];
extern const char report_sql_coverage[];
extern const char report_sql_address_data[];

#endif
