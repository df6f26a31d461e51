//! Amounts of bytes and of time as people write and read them.

use std::time::Duration;

/// Reads an amount of disk: bytes, or a number and a unit.
///
/// # Errors
/// A text that says what would be right.
pub fn size(text: &str) -> Result<u64, String> {
    let units = [("B", 1), ("kB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];
    let bytes = text.parse().ok().or_else(|| amount(text, &units));
    bytes.ok_or_else(|| format!("\"{text}\" is not an amount such as 800MB, 50GB or 1000000 (bytes)"))
}

/// An amount of bytes as text.
pub fn in_bytes(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    let unit = units.into_iter().find(|(size, _)| bytes >= *size);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(size, name)| format!("{:.1} {name}", bytes as f64 / size as f64),
    )
}

/// A positive whole number followed by one of the units.
pub(crate) fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor).filter(|amount| *amount > 0)
}

/// A time in the form that `timeout:` reads.
pub(crate) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_disk_are_bytes_or_a_number_and_a_unit() {
        let read = |text: &str| size(text).ok();
        assert_eq!(
            ["0", "10", "5B", "2kB", "10 GB"].map(read),
            [Some(0), Some(10), Some(5), Some(2000), Some(10_000_000_000)]
        );
        assert_eq!(["", "-1", "1.5GB", "GB", "10gb", "99999999TB"].map(read), [None; 6]);
        assert_eq!([999, 1000, 1_550_000].map(in_bytes), ["999 B", "1.0 kB", "1.6 MB"]);
    }
}
