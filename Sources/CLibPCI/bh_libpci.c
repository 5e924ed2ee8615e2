#include "bh_libpci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bh_pci_guard {
    jmp_buf point;
    int armed;
    char message[256];
};

static _Thread_local struct bh_pci_guard bh_pci_guard;

static void __attribute__((noreturn)) bh_pci_error(char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(bh_pci_guard.message, sizeof bh_pci_guard.message, format, arguments);
    va_end(arguments);
    if (!bh_pci_guard.armed) abort(); /* a call outside of the wrappers: a defect of ours */
    longjmp(bh_pci_guard.point, 1);
}

static void bh_pci_quiet(char *format, ...) { (void)format; }

const char *bh_pci_message(void) { return bh_pci_guard.message; }

/* Opens the bus below `sysfs` ("/sys/bus/pci") and scans it. With `names`, ids are looked up in that file alone. */
struct pci_access *bh_pci_scan(const char *sysfs, const char *names) {
    struct pci_access *volatile access = pci_alloc();
    if (!access) return NULL;
    access->error = bh_pci_error;
    access->warning = bh_pci_quiet;
    access->debug = bh_pci_quiet;
    access->method = PCI_ACCESS_SYS_BUS_PCI;
    int done = 0;
    bh_pci_guard.message[0] = 0;
    bh_pci_guard.armed = 1;
    if (!setjmp(bh_pci_guard.point)) {
        pci_set_param(access, (char *)"sysfs.path", (char *)sysfs);
        if (names) {
            pci_set_param(access, (char *)"hwdb.disable", (char *)"1");
            char *copy = strdup(names); /* libpci keeps the pointer, and frees it */
            if (!copy) bh_pci_error("out of memory");
            pci_set_name_list_path(access, copy, 1);
        }
        pci_init(access);
        pci_scan_bus(access);
        done = 1;
    }
    bh_pci_guard.armed = 0;
    if (done) return access;
    pci_cleanup(access);
    return NULL;
}

int bh_pci_fill(struct pci_dev *device) {
    int result = -1;
    bh_pci_guard.armed = 1;
    if (!setjmp(bh_pci_guard.point)) {
        pci_fill_info(device, PCI_FILL_IDENT | PCI_FILL_CLASS | PCI_FILL_CLASS_EXT | PCI_FILL_SUBSYS | PCI_FILL_NUMA_NODE);
        result = 0;
    }
    bh_pci_guard.armed = 0;
    return result;
}

/* Reads configuration space; 0 when that much of it cannot be read. */
int bh_pci_read(struct pci_dev *device, u8 *bytes, int length) {
    int result = 0;
    bh_pci_guard.armed = 1;
    if (!setjmp(bh_pci_guard.point)) result = pci_read_block(device, 0, bytes, length);
    bh_pci_guard.armed = 0;
    return result;
}

/* The name from pci.ids, or a text with the number in it. Never from the network. */
int bh_pci_name(struct pci_dev *device, enum bh_pci_name which, char *text, int size) {
    int result = -1;
    char *name = NULL;
    bh_pci_guard.armed = 1;
    if (!setjmp(bh_pci_guard.point)) {
        switch (which) {
        case BH_PCI_NAME_VENDOR:
            name = pci_lookup_name(device->access, text, size, PCI_LOOKUP_VENDOR, device->vendor_id);
            break;
        case BH_PCI_NAME_DEVICE:
            name = pci_lookup_name(
                device->access, text, size, PCI_LOOKUP_DEVICE, device->vendor_id, device->device_id);
            break;
        case BH_PCI_NAME_CLASS:
            name = pci_lookup_name(device->access, text, size, PCI_LOOKUP_CLASS, device->device_class);
            break;
        }
        result = name ? 0 : -1;
        if (name && name != text) snprintf(text, (size_t)size, "%s", name);
    }
    bh_pci_guard.armed = 0;
    return result;
}

