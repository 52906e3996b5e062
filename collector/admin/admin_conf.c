#include "collector/admin/admin_conf.h"

#include "common/hostport.h"

#define AT(member) offsetof(struct admin_conf, member)

/* Browsers' bound for server certificates, and a good one: whoever renews once a year is in time.
 */
#define CERTIFICATE_DAYS "397"
#define CERTIFICATE_DAYS_MAX 3650

const struct conf_option admin_options[] = {
	{"dsn", CONF_STRING, AT(dsn), "dbname=hirundo", 0, 0, CONF_RESTART,
		"libpq connection string; a superuser's for db init, else a member of "
		"hirundo_owner's",
		NULL},
	{"ca_dir", CONF_PATH, AT(ca_dir), "/etc/hirundo/ca", 0, 0, CONF_RESTART,
		"folder of the CA, its key and the collector's certificate", NULL},
	{"collector", CONF_STRING, AT(collector), "localhost:7411", 0, 0, CONF_RESTART,
		"where sensors reach the collector, HOST:PORT; goes into bundles", hostport_check},
	{"sensor_certificate_days", CONF_INT, AT(sensor_certificate_days), CERTIFICATE_DAYS, 1,
		CERTIFICATE_DAYS_MAX, CONF_RESTART, "how long a sensor's certificate is valid",
		NULL},
	{"server_certificate_days", CONF_INT, AT(server_certificate_days), CERTIFICATE_DAYS, 1,
		CERTIFICATE_DAYS_MAX, CONF_RESTART, "how long the collector's certificate is valid",
		NULL},
	{"viewer_certificate_days", CONF_INT, AT(viewer_certificate_days), CERTIFICATE_DAYS, 1,
		CERTIFICATE_DAYS_MAX, CONF_RESTART, "how long a viewer's certificate is valid",
		NULL},
	{"export_organization", CONF_STRING, AT(export_organization), "", 0, 0, CONF_RESTART,
		"who exports: named in them, needed for XARF", NULL},
	{"export_contact", CONF_STRING, AT(export_contact), "", 0, 0, CONF_RESTART,
		"e-mail address of who exports, needed for XARF", NULL},
	{0},
};
