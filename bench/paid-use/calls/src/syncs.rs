//! Counts how often this process has waited for a disk, in the place of the C library's functions that do it.
#![allow(unsafe_code, reason = "nothing else sees every flush, whoever asks for it")]

use std::{
    ffi::c_int,
    sync::atomic::{AtomicU64, Ordering},
};

static SYNCS: AtomicU64 = AtomicU64::new(0);

/// So often since the process began, of both kinds.
pub(crate) fn count() -> u64 {
    SYNCS.load(Ordering::Relaxed)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    counted(libc::SYS_fdatasync, file)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    counted(libc::SYS_fsync, file)
}

fn counted(call: libc::c_long, file: c_int) -> c_int {
    SYNCS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: both take one descriptor and touch no memory of ours; a wrong one is an error that is passed on.
    let result = unsafe { libc::syscall(call, file) };
    c_int::try_from(result).unwrap_or(-1)
}
