//! The versions of the plugin contract that this Beadle supports.
//!
//! A version is a folder under `plugin-api/wit` and a module under [`crate::abi`]. Which version a
//! plugin was built for is read from its imports and exports ([`crate::surface`]).

/// The newest supported version: what a new plugin should be built for.
pub const API_VERSION: &str = Version::LATEST.name();

/// A supported version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1.0 as it was before two changes; only in tests, see [`crate::abi`].
    #[cfg(test)]
    V0_0_9,
    /// 0.1.0.
    V0_1_0,
}

impl Version {
    /// The version that the capabilities in [`crate::host`] implement.
    pub const LATEST: Version = Version::V0_1_0;

    /// All supported versions, oldest first.
    pub const ALL: &[Version] = &[
        #[cfg(test)]
        Version::V0_0_9,
        Version::V0_1_0,
    ];

    /// The version as WIT writes it.
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(test)]
            Version::V0_0_9 => "0.0.9",
            Version::V0_1_0 => "0.1.0",
        }
    }

    /// The supported version of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|version| version.name() == name)
    }

    /// The supported versions for people: `0.1.0 to 0.2.3`.
    pub fn range() -> String {
        let oldest = Self::oldest().name();
        let latest = Self::LATEST.name();
        if oldest == latest { latest.to_owned() } else { format!("{oldest} to {latest}") }
    }

    /// The oldest supported version.
    pub fn oldest() -> Self {
        Self::ALL.first().copied().unwrap_or(Self::LATEST)
    }
}

/// The three numbers of a version. They compare as versions do.
pub fn numbers(version: &str) -> Option<(u64, u64, u64)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let three = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(three)
}
