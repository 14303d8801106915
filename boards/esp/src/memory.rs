//! The heap, which only the radio's driver uses.

/// How much of the heap there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// Bytes free now.
    pub free: u32,
    /// The fewest bytes that were free since the start.
    pub least: u32,
}

/// Gives the heap its memory: what the bootloader leaves, and where that is
/// little, some of ours. Once, at the start.
pub fn start() {
    #[cfg(feature = "esp32")]
    esp_alloc::heap_allocator!(#[esp_hal::ram(reclaimed)] size: 96 * 1024);
    #[cfg(feature = "esp32s3")]
    esp_alloc::heap_allocator!(#[esp_hal::ram(reclaimed)] size: 72 * 1024);
    #[cfg(any(feature = "esp32c3", feature = "esp32c6"))]
    esp_alloc::heap_allocator!(#[esp_hal::ram(reclaimed)] size: 64 * 1024);
    #[cfg(feature = "esp32")]
    esp_alloc::heap_allocator!(size: 32 * 1024);
    #[cfg(not(feature = "esp32"))]
    esp_alloc::heap_allocator!(size: 16 * 1024);
}

/// How the heap is.
pub fn heap() -> Heap {
    let stats = esp_alloc::HEAP.stats();
    Heap {
        free: bytes(stats.size.saturating_sub(stats.current_usage)),
        least: bytes(stats.size.saturating_sub(stats.max_usage)),
    }
}

fn bytes(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
