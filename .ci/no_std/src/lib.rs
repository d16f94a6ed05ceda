//! A program without `std` around both cores. `panic_handler` may be defined once only: if a dependency brought `std`
//! along, this would not compile.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use lsb_core as _;
use raft_core as _;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Never used: this program is only linked.
struct NoMemory;

// SAFETY: returning null says that there is no memory, which is always allowed, and nothing is ever given back.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static MEMORY: NoMemory = NoMemory;
