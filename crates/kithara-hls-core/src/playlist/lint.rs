//! Violations of the playlist rules that do not stop the parser.

use std::fmt;

use super::Line;

/// A place where a playlist breaks a rule, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Where.
    pub line: Line,
    /// What.
    pub rule: Rule,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, rule } = self;
        write!(
            f,
            "line {line}: {}: {rule} ({})",
            rule.severity(),
            rule.section()
        )
    }
}

/// How bad a violation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A SHOULD, or something that older clients cannot read.
    Warning,
    /// A MUST.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

macro_rules! rules {
    ($($name:ident $severity:ident $section:literal $text:literal)*) => {
        /// A rule of RFC 8216bis (draft 22) that a playlist can break and still be used.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = concat!($text, " (section ", $section, ").")] $name,)*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The section of RFC 8216bis (draft 22) that makes the rule.
            #[must_use]
            pub const fn section(self) -> &'static str {
                match self { $(Self::$name => $section,)* }
            }

            /// How bad it is to break it.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What is wrong, for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

rules! {
    ByteOrderMark Error "4.1" "the text begins with a byte order mark"
    InvalidUtf8 Error "4.1" "the text is not UTF-8"
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
