#![no_main]
//! The header of a file, as ingest reads it.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = ctpipe_ct::scan(bytes, &mut Vec::new());
});
