//! The plugin contract as Rust types: a module per API version.
//!
//! Types between host and guest are compared exactly, so a version that was published is never changed: the next one
//! gets a folder under `plugin-api/wit`, a module here that the capabilities in [`crate::host`] are written for, and the older
//! modules delegate to it: their capabilities call the latest's, their events are made of the latest's, and what their guests
//! answer becomes the latest's answer. So nothing outside this module knows that there is more than one.
//!
//! `since_v0_0_9` was never published. It is invented, and there in tests only, to hold the way open: a binary that was
//! built for it lies beside it and has to load and run, whatever the latest version becomes.

#[cfg(test)]
mod since_v0_0_9;
pub mod since_v0_1_0;

pub use since_v0_1_0 as latest;

use crate::host::HostState;
use crate::report::{Call, Page};
use crate::surface::Surface;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre, Linker};

/// The newest version of the contract that this Beadle speaks: what an SDK is to be built for.
pub const API_VERSION: &str = Version::LATEST.name();

/// Every version, the oldest first: its module, and its name in WIT.
macro_rules! versions {
    ($($(#[$cfg:meta])* $version:ident = $module:ident, $name:literal;)*) => {
        /// A version of the contract that this Beadle speaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Version {
            $($(#[$cfg])* $version,)*
        }

        impl Version {
            /// All of them, the oldest first.
            pub const ALL: &[Version] = &[$($(#[$cfg])* Version::$version,)*];

            /// As WIT writes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(#[$cfg])* Version::$version => $name,)*
                }
            }
        }

        /// Where a component's exports are, found once when it is loaded.
        #[cfg_attr(test, expect(clippy::large_enum_variant, reason = "a version that few have costs its plugins' instances bytes"))]
        pub enum Exports {
            $($(#[$cfg])* $version($module::Exports),)*
        }

        /// The exports of one instance.
        #[cfg_attr(test, expect(clippy::large_enum_variant, reason = "a version that few have costs its plugins' instances bytes"))]
        pub enum Guests {
            $($(#[$cfg])* $version($module::Guests),)*
        }

        impl Exports {
            /// Finds what `surface` says is there, and checks its types against those of its version.
            pub fn find(pre: &InstancePre<HostState>, surface: &Surface) -> wasmtime::Result<Self> {
                Ok(match surface.version {
                    $($(#[$cfg])* Version::$version => Exports::$version($module::Exports::find(pre, surface)?),)*
                })
            }

            /// Whether it can be asked what it is.
            pub fn has_about(&self) -> bool {
                match self {
                    $($(#[$cfg])* Exports::$version(exports) => exports.has_about(),)*
                }
            }

            /// Whether it numbers the forms of its state.
            pub fn has_migration(&self) -> bool {
                match self {
                    $($(#[$cfg])* Exports::$version(exports) => exports.has_migration(),)*
                }
            }

            /// The same exports in an instance.
            pub fn load(&self, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<Guests> {
                Ok(match self {
                    $($(#[$cfg])* Exports::$version(exports) => Guests::$version(exports.load(store, instance)?),)*
                })
            }
        }

        impl Guests {
            /// Gives the call's event to the export that is for it. `Err` is what the host or the runtime said,
            /// `Ok(Err)` what the plugin said.
            pub async fn handle(&self, store: &mut Store<HostState>, call: &Call) -> wasmtime::Result<latest::Outcome> {
                match self {
                    $($(#[$cfg])* Guests::$version(guests) => guests.handle(store, call).await,)*
                }
            }

            /// What the plugin says of itself; none where it does not.
            pub async fn describe(&self, store: &mut Store<HostState>) -> wasmtime::Result<Option<latest::About>> {
                match self {
                    $($(#[$cfg])* Guests::$version(guests) => guests.describe(store).await,)*
                }
            }
        }

        impl Guests {
            /// The version under which it keeps its state; 0 where it numbers none.
            pub async fn state_version(&self, store: &mut Store<HostState>) -> wasmtime::Result<u32> {
                match self {
                    $($(#[$cfg])* Guests::$version(guests) => guests.state_version(store).await,)*
                }
            }

            /// Has it bring a page of its state over.
            pub async fn migrate(&self, store: &mut Store<HostState>, page: &Page) -> wasmtime::Result<latest::Moved> {
                match self {
                    $($(#[$cfg])* Guests::$version(guests) => guests.migrate(store, page).await,)*
                }
            }
        }

        /// Gives the linker every capability of every version.
        pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
            $($(#[$cfg])* $module::link(linker)?;)*
            Ok(())
        }
    };
}

versions! {
    #[cfg(test)]
    V0_0_9 = since_v0_0_9, "0.0.9";
    V0_1_0 = since_v0_1_0, "0.1.0";
}

impl Version {
    /// The one that the capabilities are written for.
    pub const LATEST: Version = Version::V0_1_0;

    /// The version of this name, where we speak it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|version| version.name() == name)
    }

    /// What we speak, for people: `0.1.0 to 0.2.3`.
    pub fn range() -> String {
        let oldest = Self::ALL.first().copied().unwrap_or(Self::LATEST);
        format!("{} to {}", oldest.name(), Self::LATEST.name())
    }
}

/// A version's three numbers, as far as it has them; they compare as versions do.
pub fn numbers(version: &str) -> Option<(u64, u64, u64)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let three = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(three)
}
