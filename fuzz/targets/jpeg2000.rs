#![no_main]
//! JPEG 2000 and HTJ2K, in this process: what ends it here would only end a child process in
//! ctpipe.

libfuzzer_sys::fuzz_target!(init: ctpipe_fuzz::caught_panics_are_none(), |bytes: &[u8]| {
    ctpipe_fuzz::decode(bytes, "1.2.840.10008.1.2.4.90");
});
