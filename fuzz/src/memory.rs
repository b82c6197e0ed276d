//! How much a decoder has allocated at once, by the only witness there is.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Counts what each thread holds, and the most it ever held.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(more: isize) {
    let live = LIVE.get() + more;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: hands everything to the system's allocator; counting neither allocates nor panics.
#[expect(unsafe_code, reason = "an allocator is the only witness of what is allocated")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a decoder may hold whatever it is given: tables that are made once, the text of an error.
const ANYWAY: usize = 256 << 10;

/// Does something with `bytes` and holds it to `times` their length, and a little that does not depend on it.
pub(crate) fn within<T>(bytes: &[u8], times: usize, what: impl FnOnce() -> T) -> T {
    at_most(ANYWAY + times * bytes.len(), what)
}

/// Does something and holds it to `limit` bytes at once, on this thread.
pub(crate) fn at_most<T>(limit: usize, what: impl FnOnce() -> T) -> T {
    let before = LIVE.get();
    PEAK.set(before);
    let result = what();
    let peak = PEAK.get() - before;
    assert!(peak <= limit as isize, "expected at most {limit} bytes at once, found {peak}");
    result
}
