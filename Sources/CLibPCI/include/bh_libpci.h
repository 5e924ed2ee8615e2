/* libpci leaves the process when its error callback is called, and after its return does not know where it is. These
 * wrappers come back instead: each call runs under a jump point, and says 0, or -1 with libpci's message. */
#ifndef BH_LIBPCI_H
#define BH_LIBPCI_H

#include <pci/pci.h>

/* Which of the names of a device to look up. */
enum bh_pci_name { BH_PCI_NAME_VENDOR, BH_PCI_NAME_DEVICE, BH_PCI_NAME_CLASS };

/* libpci's last message, of this thread. */
const char *bh_pci_message(void);

/* Opens the bus below `sysfs` ("/sys/bus/pci") and scans it. With `names`, ids are looked up in that file alone. */
struct pci_access *bh_pci_scan(const char *sysfs, const char *names);

/* Reads ids, class and place of a device. */
int bh_pci_fill(struct pci_dev *device);

/* Reads configuration space; 0 when that much of it cannot be read. */
int bh_pci_read(struct pci_dev *device, u8 *bytes, int length);

/* The name from pci.ids, or a text with the number in it. Never from the network. */
int bh_pci_name(struct pci_dev *device, enum bh_pci_name which, char *text, int size);

#endif
