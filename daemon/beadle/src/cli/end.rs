//! How a command ends early, and how it prints a result.

use super::client::ClientError;
use super::show::Output;
use crate::exit::{Exit, print};

/// Why a command ends early.
pub(super) enum End {
    /// The request failed.
    Client(ClientError),
    /// The output was closed or could not be written.
    Output(Exit),
}

impl From<Exit> for End {
    fn from(exit: Exit) -> Self {
        End::Output(exit)
    }
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        End::Client(error)
    }
}

impl From<serde_json::Error> for End {
    fn from(error: serde_json::Error) -> Self {
        End::Client(ClientError::BadResponse(error.to_string()))
    }
}

/// Prints text to stdout and hints to stderr.
pub(super) fn write(output: Output) -> Result<(), End> {
    print(&output.text)?;
    for hint in output.hints {
        eprintln!("hint: {hint}");
    }
    Ok(())
}
