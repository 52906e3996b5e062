/* This packet's own destination, cut at the end: the beginnings of all the ways to write it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "sensor/mask_view.h"
#include "sensor/own.h"

/* Fewer characters tell less than 16 bits, and are everywhere. */
#define TAIL_MIN 4u
/* 32 nibbles and 31 dots. */
#define FORM_MAX 64u

/* The longest beginning of form that is the end of the view. */
static void mask_form(struct view *v, const char *form)
{
	char begin[FORM_MAX];
	size_t n = strlen(form) - 1;

	for (n = n < v->n ? n : v->n; n >= TAIL_MIN; n--) {
		memcpy(begin, form, n);
		begin[n] = '\0';
		if (view_text_at(v, v->n - n, begin)) {
			view_fill(v, v->n - n, v->n, '0');
			return;
		}
	}
}

static void tail4(struct view *v, uint32_t addr)
{
	uint32_t swapped = __builtin_bswap32(addr);
	const uint32_t orders[] = {addr, swapped};
	char form[FORM_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		uint32_t a = orders[i];

		for (const char *s = ".-_"; *s; s++) {
			snprintf(form, sizeof(form), "%u%c%u%c%u%c%u", a >> 24, *s, a >> 16 & 255,
				*s, a >> 8 & 255, *s, a & 255);
			mask_form(v, form);
		}
		snprintf(form, sizeof(form), "%u", a);
		mask_form(v, form);
		snprintf(form, sizeof(form), "-%u", UINT32_MAX - a + 1);
		mask_form(v, form);
		snprintf(form, sizeof(form), "%08x", a);
		mask_form(v, form);
	}
}

static void tail6(struct view *v, const uint8_t *addr)
{
	char form[FORM_MAX];
	size_t n = 0;

	if (inet_ntop(AF_INET6, addr, form, sizeof(form)))
		mask_form(v, form);
	for (size_t i = 0; i < 16; i += 2)
		n += (size_t)snprintf(form + n, sizeof(form) - n, "%02x%02x%s", addr[i],
			addr[i + 1], i < 14 ? ":" : "");
	mask_form(v, form);
	for (const char *s = ".\x01"; *s; s++) {
		n = 0;
		for (size_t i = 16; i-- > 0;)
			n += (size_t)snprintf(form + n, sizeof(form) - n, "%x%c%x%.*s",
				addr[i] & 15, *s, addr[i] >> 4, i > 0, s);
		mask_form(v, form);
	}
}

/* Does the view end in characters that all forms are made of? */
static bool may_be_form(const struct view *v)
{
	static const uint8_t separators[] = {'.', '-', '_', ':', 1};

	for (size_t i = 0; i < TAIL_MIN; i++)
		if (v->n <= i ||
			(!view_is_hex(v, v->n - 1 - i) &&
				!memchr(separators, v->c[v->n - 1 - i], sizeof(separators))))
			return false;
	return true;
}

void mask_tail(const struct own *o, struct view *v)
{
	size_t forms = memcmp(o->here[0], o->here[1], sizeof(o->here[0])) == 0 ? 1 : 2;

	if (!may_be_form(v))
		return;
	for (size_t i = 0; i < forms; i++) {
		if (o->family == 4)
			tail4(v, o->here4[i]);
		else
			tail6(v, o->here[i]);
	}
}
