/* The proof of the network. */
#pragma once

struct error;
struct sandbox;

/* 0 when the kernel says that the links, addresses and routes are the plan's; -EPROTO with @error; -errno. */
int network_prove(const struct sandbox *sandbox, struct error *error);
