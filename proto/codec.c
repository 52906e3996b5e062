#include "proto/codec.h"

#include <errno.h>

#include "proto/codec_impl.h"

int codec_new(struct codec **ret)
{
	struct codec *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	buf_init(&c->e.work, 2u * FRAME_MAX);
	*ret = c;
	return 0;
}

struct codec *codec_free(struct codec *c)
{
	if (!c)
		return NULL;
	encoder_done(&c->e);
	decoder_done(&c->d);
	column_scratch_done(&c->column);
	free(c);
	return NULL;
}
