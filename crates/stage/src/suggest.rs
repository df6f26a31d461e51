//! Finds the known name that was probably meant.

/// ` (did you mean "x"?)` for the nearest of `known`, or nothing when no name is near.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest =
        known.into_iter().map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate)).min();
    match nearest {
        Some((distance, candidate)) if distance * 2 <= name.len().max(candidate.len()) => {
            format!(" (did you mean \"{candidate}\"?)")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn a_typing_error_is_mended_and_a_stranger_is_not() {
        let known = ["epochs", "batch_size", "lr"];
        assert_eq!(did_you_mean("epoch", known), " (did you mean \"epochs\"?)");
        assert_eq!(did_you_mean("rl", known), " (did you mean \"lr\"?)");
        assert_eq!(did_you_mean("zzzzzz", known), "");
    }
}
