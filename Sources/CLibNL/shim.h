/* libnl-3 with generic netlink, and the attributes of NBD. */
#ifndef BH_LIBNL_SHIM_H
#define BH_LIBNL_SHIM_H

#include <linux/nbd-netlink.h>
#include <netlink/attr.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#endif
