#![no_main]
//! The labels CSV.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ctpipe_fuzz::with_file("labels.csv", bytes, |path| {
        let _ = ctpipe_tables::labels::read(path, &["person".to_owned()]);
    });
});
