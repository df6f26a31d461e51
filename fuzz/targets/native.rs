#![no_main]
//! Uncompressed pixel data, including deflated files.

libfuzzer_sys::fuzz_target!(init: ctpipe_fuzz::caught_panics_are_none(), |bytes: &[u8]| {
    ctpipe_fuzz::decode(bytes, "1.2.840.10008.1.2.1");
});
