//! Enums whose values have names on the command line, in the manifest and in the metadata of weight files.
//!
//! The names of each such enum are defined once, with `named!`, which also generates parsing, printing and serde
//! implementations. If each crate spelled out the names itself, a name added in one place would be unknown in
//! another.

/// Gives the values of a fieldless enum names: `ALL`, `NAMES`, `name()`, [`Display`](std::fmt::Display),
/// [`FromStr`](std::str::FromStr) and, with the feature `serde`, (de)serialisation as the name.
///
/// ```text
/// named!(Profile, "profile", { Tf => "tf", Timm => "timm" });
/// ```
macro_rules! named {
    ($type:ident, $noun:literal, { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// All values, in order of definition.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The names of all values, in the order of [`ALL`](Self::ALL).
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name used on the command line, in the manifest and in the metadata of weight files.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::Error;

            /// # Errors
            /// [`Error::UnknownName`](crate::Error::UnknownName), which lists all names.
            fn from_str(name: &str) -> Result<Self, $crate::Error> {
                Self::ALL
                    .into_iter()
                    .find(|value| value.name() == name)
                    .ok_or_else(|| $crate::Error::UnknownName {
                        noun: $noun,
                        name: name.to_owned(),
                        expected: Self::NAMES,
                    })
            }
        }

        $crate::named_enum::as_string!($type);
    };
}

/// (De)serialises a type as a string, using its `name()` and `FromStr`.
macro_rules! as_string {
    ($type:ident) => {
        #[cfg(feature = "serde")]
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                name.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use as_string;
pub(crate) use named;
