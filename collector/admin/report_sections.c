/*
 * What a quarterly report has: tables and figures of TSUBAME's quarterly reports and of its
 * Overflow reports (R1 to R19 of the reports' catalog), and which sources are real. Counts come
 * from the functions of schema report alone.
 */
#include "collector/admin/report.h"
#include "collector/admin/report_queries.h"

const char report_introduction[] =
	"Sensors listen on addresses that nobody uses. Nobody asked for what arrives there: scans, "
	"malware in search of its next victim, answers to packets that were sent under a forged "
	"address. This report counts it, from {first_day} to {last_day}. Domestic sensors are "
	"those in "
	"{home}; all others are overseas.";

const struct report_words report_definitions[] = {
	{"Packet", "Counted where a sensor received it. Nothing is sampled or extrapolated."},
	{"Host", "A distinct source address; of IPv6 a distinct network of 64 bits. Counted over "
		 "the whole "
		 "cell: hosts of two cells don't add up, because a host may be in both."},
	{"Service", "TCP and UDP: destination port and protocol, such as 23/TCP. Other protocols: "
		    "their name."},
	{"Day", "From midnight to midnight in {zone}."},
	{"Coverage", "The time in which a sensor really listened. Means are per day of one "
		     "listening address: "
		     "packets divided by the days that addresses were listened on. So an outage of "
		     "a sensor "
		     "does not look like calm."},
	{"Region", "Of a source: that to which its address is registered, as known when its packet "
		   "came. ZZ: not "
		   "known. Of a sensor: where it stands."},
	{"< 5, not shown", "What comes from fewer than 5 hosts is not told."},
	{"no data", "Nobody listened, or nothing has been computed yet. It does not mean 0."},
};
const size_t report_definitions_n = ARRAY_SIZE(report_definitions);

/* Of rankings of services. */
#define SERVICE_COLUMNS                                                                    \
	{                                                                                  \
		{"rank", "Rank", FORMAT_COUNT, NULL, false},                               \
			{"service", "Service", FORMAT_TEXT, "hosts", true},                \
			{"name", "Name", FORMAT_TEXT, "hosts", false},                     \
			{"packets", "Packets", FORMAT_COUNT, "hosts", false},              \
			{"hosts", "Hosts", FORMAT_HOSTS, NULL, false},                     \
			{"share", "Share of packets", FORMAT_SHARE, "hosts", false},       \
			{"previous_rank", "Rank before", FORMAT_PREVIOUS, "hosts", false}, \
		{                                                                          \
			"previous_covered", NULL, FORMAT_TEXT, NULL, false                 \
		}                                                                          \
	}

const struct report_section report_sections[] = {
	{
		.name = "top-services",
		.chapter = "At sensors in {home}",
		.title = "Services with the most packets",
		.text = "TCP and UDP ports by packets that domestic sensors received, with their "
			"rank in the quarter "
			"before. The name is what a port is commonly scanned for, else that "
			"registered with IANA. The share "
			"is of all packets to TCP and UDP ports.",
		.lead = "Most packets at domestic sensors went to {service}: {packets} ({share}), "
			"from {hosts} hosts.",
		.sql = report_sql_top_services,
		.columns = SERVICE_COLUMNS,
	},
	{
		.name = "service-trend",
		.title = "Packets to these services, by day",
		.text = "Packets per address and day at domestic sensors.",
		.sql = report_sql_service_trend,
		.kind = REPORT_LINES,
		.unit = "packets per address and day",
		.columns =
			{
				{"day", "Day", FORMAT_DAY, NULL, true},
				{"service", "Service", FORMAT_TEXT, "of_service", true},
				{"mean", "Packets per address and day", FORMAT_MEAN, "hosts",
					false},
				{"hosts", NULL, FORMAT_COUNT, NULL, false},
				{"of_service", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "top-regions",
		.title = "Source regions with the most packets",
		.text = "Regions to which the source addresses are registered, by packets that "
			"domestic sensors received, "
			"with their rank in the quarter before.",
		.lead = "Most packets at domestic sensors came from {name}: {packets} ({share}), "
			"from {hosts} hosts.",
		.sql = report_sql_top_regions,
		.columns =
			{
				{"rank", "Rank", FORMAT_COUNT, NULL, false},
				{"region", "Code", FORMAT_TEXT, "hosts", true},
				{"name", "Region", FORMAT_TEXT, "hosts", false},
				{"packets", "Packets", FORMAT_COUNT, "hosts", false},
				{"hosts", "Hosts", FORMAT_HOSTS, NULL, false},
				{"share", "Share of packets", FORMAT_SHARE, "hosts", false},
				{"previous_rank", "Rank before", FORMAT_PREVIOUS, "hosts", false},
				{"previous_covered", NULL, FORMAT_TEXT, NULL, false},
			},
	},
	{
		.name = "region-trend",
		.title = "Packets from these regions, by day",
		.text = "Packets per address and day at domestic sensors.",
		.sql = report_sql_region_trend,
		.kind = REPORT_LINES,
		.unit = "packets per address and day",
		.columns =
			{
				{"day", "Day", FORMAT_DAY, NULL, true},
				{"region", "Region", FORMAT_TEXT, "of_region", true},
				{"mean", "Packets per address and day", FORMAT_MEAN, "hosts",
					false},
				{"hosts", NULL, FORMAT_COUNT, NULL, false},
				{"of_region", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "home-services",
		.title = "Services with the most packets from {home}",
		.text = "Of packets whose source is registered in {home}, at domestic sensors; "
			"ICMP, GRE and others "
			"without ports are ranked, too.",
		.lead = "Most packets from {home} itself went to {service}: {packets} ({share}).",
		.sql = report_sql_home_services,
		.columns = SERVICE_COLUMNS,
	},
	{
		.name = "mirai",
		.title = "Hosts that send packets of the Mirai kind, by day and region",
		.text = "TCP SYN whose sequence number is the destination address: malware of the "
			"Mirai family builds them "
			"so. The five source regions with the most such hosts in the quarter, at "
			"domestic sensors.",
		.sql = report_sql_mirai,
		.kind = REPORT_LINES,
		.unit = "hosts",
		.columns =
			{
				{"day", "Day", FORMAT_DAY, NULL, true},
				{"region", "Region", FORMAT_TEXT, NULL, true},
				{"hosts", "Hosts", FORMAT_HOSTS, NULL, false},
			},
	},
	{
		.name = "mirai-total",
		.title = "Hosts that send packets of the Mirai kind, all regions",
		.text = "All such hosts of a day, and those of the five regions together; where "
			"one of the five is below "
			"5, the sum is not told, because it would tell that one.",
		.sql = report_sql_mirai_total,
		.kind = REPORT_LINES,
		.unit = "hosts",
		.columns =
			{
				{"day", "Day", FORMAT_DAY, NULL, true},
				{"series", "Regions", FORMAT_TEXT, NULL, true},
				{"hosts", "Hosts", FORMAT_HOSTS, "fewest", false},
				{"fewest", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "ack",
		.chapter = "Answers and packets with ACK from {home}",
		.title = "TCP packets with ACK from {home}, by day",
		.text = "Packets with ACK whose source is registered in {home}, at all sensors. "
			"Nobody had asked: SYN-ACK "
			"and RST-ACK answer packets that somebody sent under a forged address, "
			"most often in an attack on "
			"the host that answers.",
		.sql = report_sql_ack,
		.kind = REPORT_LINES,
		.unit = "packets",
		.columns =
			{
				{"day", "Day", FORMAT_DAY, NULL, true},
				{"kind", "Kind", FORMAT_TEXT, NULL, true},
				{"packets", "Packets", FORMAT_COUNT, "hosts", false},
				{"hosts", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "ack-days",
		.title = "Days with the most packets with ACK from {home}",
		.text = "All three kinds together, beside the median of the quarter's days.",
		.sql = report_sql_ack_days,
		.columns =
			{
				{"day", "Day", FORMAT_DAY, NULL, true},
				{"packets", "Packets", FORMAT_COUNT, "fewest", false},
				{"times", "Times the median", FORMAT_MEAN, "fewest", false},
				{"fewest", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "ack-organizations",
		.title = "Packets with ACK from {home}, by organization",
		.text = "Who holds the source addresses: the ten organizations with the most such "
			"packets, of all kinds together. "
			"Shares are of all packets with ACK from {home}.",
		.sql = report_sql_ack_organizations,
		.columns =
			{
				{"rank", "Rank", FORMAT_COUNT, NULL, false},
				{"organization", "Organization", FORMAT_TEXT, "most", true},
				{"kind", "Kind", FORMAT_TEXT, NULL, true},
				{"packets", "Packets", FORMAT_COUNT, "hosts", false},
				{"hosts", "Hosts", FORMAT_HOSTS, NULL, false},
				{"share", "Share", FORMAT_SHARE, "hosts", false},
				{"organization_share", "All its kinds", FORMAT_SHARE, "fewest",
					false},
				{"fewest", NULL, FORMAT_COUNT, NULL, false},
				{"most", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "means",
		.chapter = "Domestic and overseas sensors",
		.title = "Packets per address and day, by month",
		.text = "Mean over the time in which sensors listened, beside the same month a "
			"year before.",
		.sql = report_sql_means,
		.kind = REPORT_BARS,
		.unit = "packets per address and day",
		.columns =
			{
				{"month", "Month", FORMAT_MONTH, NULL, true},
				{"series", "Sensors", FORMAT_TEXT, NULL, true},
				{"mean", "Packets per address and day", FORMAT_MEAN, "fewest",
					false},
				{"fewest", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "means-year",
		.title = "Packets per address and day, beside the year before",
		.text = "The same means as numbers. Sensors come and go: the last columns are of "
			"those alone that listened in "
			"both months, and so is the change.",
		.sql = report_sql_means_year,
		.columns =
			{
				{"grp", "Sensors", FORMAT_TEXT, NULL, true},
				{"month", "Month", FORMAT_MONTH, NULL, true},
				{"mean", "Mean", FORMAT_MEAN, "fewest", false},
				{"before", "A year before", FORMAT_MEAN, "fewest_before", false},
				{"same", "Same sensors", FORMAT_MEAN, "fewest", false},
				{"same_before", "A year before", FORMAT_MEAN, "fewest_before",
					false},
				{"change", "Change", FORMAT_SHARE, "fewest_before", false},
				{"fewest", NULL, FORMAT_COUNT, NULL, false},
				{"fewest_before", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "sensors",
		.title = "Services with the most packets, sensor by sensor",
		.text = "Below each service, its packets. Sensors are numbered anew in each "
			"quarter. A service is left out "
			"where it came from fewer than 5 hosts, and everywhere unless two sensors "
			"saw it from 5 hosts or "
			"more.",
		.sql = report_sql_sensors,
		.kind = REPORT_MATRIX,
		.columns =
			{
				{"label", "Sensor / rank", FORMAT_TEXT, NULL, true},
				{"rank", "Rank", FORMAT_COUNT, NULL, true},
				{"service", "Service", FORMAT_TEXT, "hosts", false},
				{"packets", "Packets", FORMAT_COUNT, "hosts", false},
				{"hosts", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "common",
		.title = "Services in the first ten of sensors",
		.text = "At how many sensors a service was among the first ten, how many saw it at "
			"all, how many there are, "
			"and its best and worst rank among the first ten. Left out is what is left "
			"out above.",
		.sql = report_sql_common,
		.columns =
			{
				{"service", "Service", FORMAT_TEXT, NULL, true},
				{"sensors", "In first ten of", FORMAT_COUNT, NULL, false},
				{"sensors_seen", "Seen by", FORMAT_COUNT, NULL, false},
				{"of_sensors", "Sensors", FORMAT_COUNT, NULL, false},
				{"best_rank", "Best rank", FORMAT_COUNT, NULL, false},
				{"worst_rank", "Worst rank", FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "ttl",
		.chapter = "Who sends, and from where it comes",
		.title = "Time to live of packets by sensor region",
		.text = "A packet's time to live (TTL) falls by one at each router. What is left "
			"tells how far its "
			"sender is away. Of the TTLs that a region's sensors saw, sorted by the "
			"value that packets "
			"started with, these are the bounds of the middle 90 %, a source counted "
			"once for each day, "
			"sensor and TTL.",
		.sql = report_sql_ttl,
		.columns =
			{
				{"region", "Sensor region", FORMAT_TEXT, NULL, true},
				{"initial_ttl", "Started with", FORMAT_COUNT, NULL, true},
				{"ttl_p5", "5 % at or below", FORMAT_COUNT, "sources", false},
				{"ttl_p95", "95 % at or below", FORMAT_COUNT, "sources", false},
				{"sources", "Hosts", FORMAT_HOSTS, NULL, false},
			},
	},
	{
		.name = "spoofed-share",
		.title = "Share of hosts whose address is forged, by week",
		.text = "Sensors in several regions see the same source from different distances. "
			"Where these do not "
			"fit the network that the address belongs to, the host is called spoofed; "
			"where they do, "
			"genuine. The share is of those that could be called one or the other.",
		.sql = report_sql_verdict_figure,
		.kind = REPORT_LINES,
		.unit = "% of hosts that were decided",
		.columns =
			{
				{"step", "Week from", FORMAT_DAY, NULL, true},
				{"series", "Verdict", FORMAT_TEXT, NULL, true},
				{"share", "Share", FORMAT_SHARE, "fewest", false},
				{"fewest", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "verdicts",
		.title = "Hosts by verdict and week",
		.text = "Weeks begin on Monday; the first and the last hold only days of the "
			"quarter. The interval (95 %) "
			"is that of the share, given the verdicts; it knows nothing of verdicts "
			"that are wrong. "
			"Verdicts of {final} of {days} days were final when this was published.",
		.sql = report_sql_verdicts,
		.columns =
			{
				{"step", "Week from", FORMAT_DAY, NULL, true},
				{"spoofed", "Spoofed", FORMAT_HOSTS, NULL, false},
				{"genuine", "Genuine", FORMAT_HOSTS, NULL, false},
				{"undetermined", "Undetermined", FORMAT_HOSTS, NULL, false},
				{"share", "Spoofed of decided", FORMAT_SHARE, "fewest", false},
				{"interval_from", "Interval from", FORMAT_SHARE, "fewest", false},
				{"interval_to", "to", FORMAT_SHARE, "fewest", false},
				{"fewest", NULL, FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "campaigns",
		.title = "Campaigns: one machine that claims many networks",
		.text = "Packets of one tool that arrive everywhere from the same distances, under "
			"addresses of many "
			"unrelated networks, come from one machine. Each is counted on each day on "
			"which it was found.",
		.sql = report_sql_campaigns,
		.columns =
			{
				{"month", "Month", FORMAT_MONTH, NULL, true},
				{"judged", "Days judged", FORMAT_COUNT, NULL, false},
				{"days", "Days with campaigns", FORMAT_COUNT, NULL, false},
				{"campaigns", "Campaigns, by day", FORMAT_COUNT, NULL, false},
				{"services", "Services", FORMAT_COUNT, NULL, false},
				{"packets", "Packets", FORMAT_COUNT, NULL, false},
				{"networks", "Most networks claimed by one", FORMAT_COUNT, NULL,
					false},
			},
	},
	{
		.name = "coverage",
		.chapter = "What it is based on",
		.title = "Sensors and the time in which they listened",
		.text = "Of the sensors that listened in the quarter at all: how many did in the "
			"month, for how many days "
			"together, and which share of the month that is. Lost packets are those "
			"that reached a sensor "
			"and are known to be missing here.",
		.sql = report_sql_coverage,
		.columns =
			{
				{"grp", "Sensors", FORMAT_TEXT, NULL, true},
				{"month", "Month", FORMAT_MONTH, NULL, true},
				{"sensors", "Listening", FORMAT_COUNT, NULL, false},
				{"days", "Sensor-days", FORMAT_MEAN, NULL, false},
				{"share", "Covered", FORMAT_SHARE, NULL, false},
				{"packets", "Packets", FORMAT_COUNT, NULL, false},
				{"lost", "Lost", FORMAT_COUNT, NULL, false},
			},
	},
	{
		.name = "address-data",
		.title = "Address data",
		.text = "To which region and organization an address belongs was looked up in "
			"these data when its packets "
			"came. Data that were imported later change nothing here.",
		.sql = report_sql_address_data,
		.columns =
			{
				{"kind", "Kind", FORMAT_TEXT, NULL, true},
				{"name", "Source", FORMAT_TEXT, NULL, true},
				{"oldest", "Oldest", FORMAT_DAY, NULL, false},
				{"newest", "Newest", FORMAT_DAY, NULL, false},
				{"imports", "Imports", FORMAT_COUNT, NULL, false},
			},
	},
};
const size_t report_sections_n = ARRAY_SIZE(report_sections);
