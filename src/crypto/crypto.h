/* crypto: start and end of the layer. Algorithms are fetched from libcrypto once and kept; every
 * other module of this layer may be used only between the two calls. */
#ifndef TR_CRYPTO_CRYPTO_H
#define TR_CRYPTO_CRYPTO_H

#include "core/err.h"

/* tr_crypto_init fetches the algorithms. May be called often and from any thread; the first call
 * does the work, later ones return its result. */
tr_code_t tr_crypto_init(tr_err_t *err);

#endif
