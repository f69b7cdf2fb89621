//! The known name that is most similar to an unknown one, for error messages.

/// The nearest of the known names, if one is near enough to be meant.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = unknown.chars().count() / 3 + 1;
    let lower = unknown.to_lowercase();
    let scored = known.into_iter().map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name));
    scored.filter(|(distance, _)| *distance <= allowed).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_name_is_suggested() {
        let known = ["direction", "on_conflict", "transform"];
        assert_eq!(nearest("on_conflicts", known), Some("on_conflict"));
        assert_eq!(nearest("Transfrom", known), Some("transform"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }
}
