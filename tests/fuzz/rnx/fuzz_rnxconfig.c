/* Any file as a client configuration: it is parsed or refused, and a chosen node is one of it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rnx/rnx.h"
#include "rnx/rnxconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rnxconfig config;
    struct rnx_error error = {0};
    if (size > RNXCONFIG_SIZE_MAX)
        return 0;
    if (rnxconfig_parse((const char *)data, size, "fuzz.yml", &config, &error) < 0) {
        assert(*error.text);
        return 0;
    }
    assert(config.node_count > 0);
    for (size_t i = 0; i < config.node_count; i++) {
        const struct rnxconfig_node *node = NULL;
        const struct rnxconfig_node *each = &config.nodes[i];
        assert(each->name && each->address && each->node_id && each->cert && each->key && each->ca);
        if (*each->name) {
            int r = rnxconfig_select(&config, each->name, &node, &error);
            assert(r == 0 && node == each);
        }
    }
    const struct rnxconfig_node *node = NULL;
    (void)rnxconfig_select(&config, "", &node, &error);
    rnxconfig_done(&config);
    return 0;
}
