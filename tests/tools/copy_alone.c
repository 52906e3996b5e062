/*
 * What COPY BINARY alone reaches: sends the same ready-made bytes again and again by plain blocking
 * libpq, a transaction each time, with the books that a record has.
 *
 *     copy_alone DSN FILE TRANSACTIONS ROWS DAY      FILE: output of COPY ... TO ... (FORMAT
 * binary)
 *
 * Prints the seconds.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"

#define COLUMNS                                                                                    \
	"observed_at, last_at, tcp_seq, tcp_ack, src_asn, sensor_id, target, src_port, dst_port, " \
	"ip_length, ip_id, tcp_window, tcp_mss, payload_length, packets, traits, protocol, "       \
	"icmp_type, "                                                                              \
	"icmp_code, ttl, ip_flags, tcp_flags, tcp_header_length, src_region, src"

static void must(PGconn *c, int ok)
{
	if (ok)
		return;
	(void)fprintf(stderr, "copy_alone: %s\n", PQerrorMessage(c));
	exit(1);
}

/* Runs to the end of the results, or to the COPY. */
static void run(PGconn *c, const char *sql, ExecStatusType last)
{
	PGresult *r = PQexec(c, sql);

	must(c, PQresultStatus(r) == last);
	PQclear(r);
}

static void transaction(PGconn *c, const char *blob, int n, long seq, long rows, const char *day)
{
	char sql[2048];
	PGresult *r;

	(void)snprintf(sql, sizeof(sql),
		"BEGIN; UPDATE hirundo.ingest_state SET last_seq = %ld, last_checksum = %ld, "
		"packets_total "
		"= packets_total + %ld, stored = stored + %ld, updated_at = now() WHERE sensor_id "
		"= 1 AND "
		"epoch = 1 AND last_seq = %ld; COPY hirundo.observation (" COLUMNS
		") FROM STDIN (FORMAT binary)",
		seq, seq, rows, rows, seq - 1);
	run(c, sql, PGRES_COPY_IN);
	must(c, PQputCopyData(c, blob, n) == 1 && PQputCopyEnd(c, NULL) == 1);
	while ((r = PQgetResult(c))) {
		must(c, PQresultStatus(r) == PGRES_COMMAND_OK);
		PQclear(r);
	}
	(void)snprintf(sql, sizeof(sql),
		"INSERT INTO hirundo.ingest_batch (sensor_id, epoch, seq, first_seq, checksum, "
		"packets_total, packets, stored, quarantined, rejected, lost, first_at, last_at, "
		"received_at, rows, stored_rows, samples, fold_early, bytes, kind) VALUES (1, 1, "
		"%ld, %ld, "
		"%ld, %ld, %ld, %ld, 0, 0, 0, now(), now(), now(), %ld, %ld, 0, 0, 100000, 1); "
		"INSERT INTO "
		"hirundo.ingest_batch_day (sensor_id, epoch, seq, day, rows, packets) VALUES (1, "
		"1, %ld, "
		"'%s', %ld, %ld); INSERT INTO hirundo.dirty_mark (sensor_id, bucket, epoch, seq, "
		"rows, first_at, last_at) VALUES (1, '%s', 1, %ld, %ld, '%s', '%s'); COMMIT",
		seq, seq, seq, seq * rows, rows, rows, rows, rows, seq, day, rows, rows, day, seq,
		rows, day, day);
	run(c, sql, PGRES_COMMAND_OK);
}

int main(int argc, char **argv)
{
	static char blob[16 << 20];
	int64_t begin;
	PGconn *c;
	FILE *f;
	size_t n;

	if (argc != 6) {
		fputs("usage: copy_alone DSN FILE TRANSACTIONS ROWS DAY\n", stderr);
		return 64;
	}
	f = fopen(argv[2], "rb");
	n = f ? fread(blob, 1, sizeof(blob), f) : 0;
	if (n == 0 || n == sizeof(blob)) {
		fputs("copy_alone: the file can not be read\n", stderr);
		return 1;
	}
	(void)fclose(f);
	c = PQconnectdb(argv[1]);
	must(c, PQstatus(c) == CONNECTION_OK);
	run(c, "INSERT INTO hirundo.ingest_state (sensor_id, epoch) VALUES (1, 1)",
		PGRES_COMMAND_OK);
	begin = clock_mono_us();
	for (long seq = 1; seq <= strtol(argv[3], NULL, 10); seq++)
		transaction(c, blob, (int)n, seq, strtol(argv[4], NULL, 10), argv[5]);
	printf("%.6f\n", (double)(clock_mono_us() - begin) / 1e6);
	PQfinish(c);
	return 0;
}
