/* The ioctls of linux/vfio.h. Each wrapper returns a value or -errno and holds no logic. Structures that end in a
 * capability chain are returned as raw bytes, because the chain has to be bounds-checked by the caller. */
#ifndef BH_VFIO_H
#define BH_VFIO_H

#include <errno.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

/* The largest number of vectors in one VFIO_DEVICE_SET_IRQS: MSI-X allows 2048 (PCI 3.0 section 6.8.2). */
#define BH_VFIO_MAX_VECTORS 2048

static inline int bh_vfio_result(int result) { return result < 0 ? -errno : result; }

/* Container */
static inline int bh_vfio_api_version(int container) { return bh_vfio_result(ioctl(container, VFIO_GET_API_VERSION)); }
static inline int bh_vfio_check_extension(int container, unsigned long extension) {
    return bh_vfio_result(ioctl(container, VFIO_CHECK_EXTENSION, extension));
}
static inline int bh_vfio_set_iommu(int container, unsigned long type) {
    return bh_vfio_result(ioctl(container, VFIO_SET_IOMMU, type));
}
/* `bytes` starts with a struct vfio_iommu_type1_info; at least 24 bytes. argsz returns the room that is needed. */
static inline int bh_vfio_iommu_info(int container, void *bytes, uint32_t length) {
    memset(bytes, 0, length);
    memcpy(bytes, &length, sizeof length);
    return bh_vfio_result(ioctl(container, VFIO_IOMMU_GET_INFO, bytes));
}
static inline int bh_vfio_map_dma(int container, uint32_t flags, const void *address, uint64_t iova, uint64_t size) {
    struct vfio_iommu_type1_dma_map map = {
        .argsz = sizeof map, .flags = flags, .vaddr = (uint64_t)(uintptr_t)address, .iova = iova, .size = size};
    return bh_vfio_result(ioctl(container, VFIO_IOMMU_MAP_DMA, &map));
}
/* `*unmapped` is set to the number of bytes that the kernel really unmapped. */
static inline int bh_vfio_unmap_dma(
    int container, uint32_t flags, uint64_t iova, uint64_t size, uint64_t *unmapped) {
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .flags = flags, .iova = iova, .size = size};
    int result = ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap);
    *unmapped = unmap.size;
    return bh_vfio_result(result);
}

/* Group */
static inline int bh_vfio_group_status(int group, uint32_t *flags) {
    struct vfio_group_status status = {.argsz = sizeof status};
    int result = ioctl(group, VFIO_GROUP_GET_STATUS, &status);
    *flags = status.flags;
    return bh_vfio_result(result);
}
static inline int bh_vfio_set_container(int group, int container) {
    return bh_vfio_result(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
}
static inline int bh_vfio_unset_container(int group) { return bh_vfio_result(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)); }
static inline int bh_vfio_device_fd(int group, const char *address) {
    return bh_vfio_result(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address));
}

/* Device */
static inline int bh_vfio_device_info(int device, struct vfio_device_info *info) {
    memset(info, 0, sizeof *info);
    info->argsz = sizeof *info;
    return bh_vfio_result(ioctl(device, VFIO_DEVICE_GET_INFO, info));
}
/* `bytes` starts with a struct vfio_region_info; at least 32 bytes. argsz returns the room that is needed. */
static inline int bh_vfio_region_info(int device, uint32_t index, void *bytes, uint32_t length) {
    struct vfio_region_info fixed = {.argsz = length, .index = index};
    memset(bytes, 0, length);
    memcpy(bytes, &fixed, sizeof fixed);
    return bh_vfio_result(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, bytes));
}
static inline int bh_vfio_irq_info(int device, uint32_t index, struct vfio_irq_info *info) {
    memset(info, 0, sizeof *info);
    info->argsz = sizeof *info;
    info->index = index;
    return bh_vfio_result(ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, info));
}
/* Wires the vectors start..<start+count to eventfds; -1 unwires one. */
static inline int bh_vfio_set_eventfds(
    int device, uint32_t index, uint32_t start, uint32_t count, const int32_t *eventfds) {
    unsigned char bytes[sizeof(struct vfio_irq_set) + BH_VFIO_MAX_VECTORS * sizeof *eventfds]
        __attribute__((aligned(8)));
    struct vfio_irq_set *set = (struct vfio_irq_set *)bytes;
    if (count == 0 || count > BH_VFIO_MAX_VECTORS) return -EINVAL;
    memset(set, 0, sizeof *set);
    set->argsz = (uint32_t)(sizeof *set + count * sizeof *eventfds);
    set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    set->index = index;
    set->start = start;
    set->count = count;
    memcpy(bytes + sizeof *set, eventfds, count * sizeof *eventfds);
    return bh_vfio_result(ioctl(device, VFIO_DEVICE_SET_IRQS, set));
}
/* An action (VFIO_IRQ_SET_ACTION_*) without data: mask, unmask, trigger; trigger with count 0 disables the index. */
static inline int bh_vfio_irq_action(int device, uint32_t index, uint32_t action, uint32_t start, uint32_t count) {
    struct vfio_irq_set set = {
        .argsz = sizeof set, .flags = VFIO_IRQ_SET_DATA_NONE | action, .index = index, .start = start, .count = count};
    return bh_vfio_result(ioctl(device, VFIO_DEVICE_SET_IRQS, &set));
}
static inline int bh_vfio_reset(int device) { return bh_vfio_result(ioctl(device, VFIO_DEVICE_RESET)); }
/* `bytes` starts with a struct vfio_pci_hot_reset_info; at least 12 bytes. -ENOSPC: count says how many there are. */
static inline int bh_vfio_hot_reset_info(int device, void *bytes, uint32_t length) {
    memset(bytes, 0, length);
    memcpy(bytes, &length, sizeof length);
    return bh_vfio_result(ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, bytes));
}

/* Numbers of ioctls, for the table test: Swift does not import _IO(). */
static inline unsigned long bh_vfio_ioctl_number(unsigned index) {
    static const unsigned long numbers[] = {
        VFIO_GET_API_VERSION,     VFIO_CHECK_EXTENSION,     VFIO_SET_IOMMU,
        VFIO_GROUP_GET_STATUS,    VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER,
        VFIO_GROUP_GET_DEVICE_FD, VFIO_DEVICE_GET_INFO,     VFIO_DEVICE_GET_REGION_INFO,
        VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS,     VFIO_DEVICE_RESET,
        VFIO_IOMMU_GET_INFO,      VFIO_IOMMU_MAP_DMA,       VFIO_IOMMU_UNMAP_DMA,
        VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
    };
    return index < sizeof numbers / sizeof *numbers ? numbers[index] : 0;
}

#endif
