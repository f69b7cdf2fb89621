//! At which step of loading a file was found wanting: for whoever tells how far it came.

use crate::LoadError;

impl LoadError {
    /// The step of loading at which it was found.
    pub fn step(&self) -> &'static str {
        match self {
            LoadError::TooBig { .. } | LoadError::NotWasm | LoadError::Precompiled => "parse",
            LoadError::Damaged { .. } | LoadError::NotAPlugin { .. } => "parse",
            LoadError::ApiVersion { .. } | LoadError::MixedVersions { .. } => "exports and imports",
            LoadError::UnknownImport { .. } => "exports and imports",
            LoadError::UnknownEvent { .. } | LoadError::NoEvents => "exports and imports",
            LoadError::Compile { .. } | LoadError::Memory { .. } | LoadError::HostPanic { .. } => "compile",
            LoadError::Types { .. } => "link",
            LoadError::Settings { .. } => "settings",
            LoadError::About { .. } | LoadError::StateVersion | LoadError::Failed(_) => "about",
        }
    }
}
