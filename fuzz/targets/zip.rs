#![no_main]
//! A zip archive: its members are listed, and read again by name.

use ctpipe_ct::{Image, Listing, Room};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ctpipe_fuzz::with_file("all.zip", bytes, |path| {
        let Ok(found) = Listing::of(path).read::<()>(&|_| true, &|_, _| Ok(())) else { return };
        for file in found.iter().filter(|file| file.header().is_some()).take(4) {
            let _ = Image::open(&file.source(path, 0), Room::default());
        }
    });
});
