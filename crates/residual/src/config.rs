//! Settings: flags outdo the environment, which outdoes the TOML file, which outdoes the defaults.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::cli::Global;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file is not there or cannot be read.
    #[error("configuration file {}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("configuration file {}: {source}", path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The system does not say where the user's data belongs.
    #[error("expected a data directory, and the system names none for this user: give one with --data-dir")]
    NoDataDir,
}

/// What a configuration file may say. Unknown keys are refused, since a misspelt one would be silently without force.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data_dir: Option<PathBuf>,
    rpc_url: Option<String>,
    account: Option<String>,
    password_file: Option<PathBuf>,
}

/// The settings in force.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) rpc_url: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
}

impl Settings {
    /// Reads the file, if there is one, under what flags and environment say. `clap` has put those two together.
    pub(crate) fn resolve(global: Global) -> Result<Self, ConfigError> {
        let named = global.config.as_deref();
        let in_data_dir =
            global.data_dir.clone().or_else(default_data_dir).map(|dir| dir.join("residual.toml"));
        let file = match (named, in_data_dir) {
            (Some(path), _) => read(path)?,
            (None, Some(path)) if path.exists() => read(&path)?,
            _ => File::default(),
        };
        Ok(Self {
            data_dir: global
                .data_dir
                .or(file.data_dir)
                .or_else(default_data_dir)
                .ok_or(ConfigError::NoDataDir)?,
            rpc_url: global.rpc_url.or(file.rpc_url),
            account: global.account.or(file.account),
            password_file: global.password_file.or(file.password_file),
        })
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) })
}

/// `$XDG_DATA_HOME/residual`, or `~/.local/share/residual` (XDG base directories).
fn default_data_dir() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("residual"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(config: &Path, account: Option<&str>) -> Global {
        Global {
            data_dir: Some("/data".into()),
            config: Some(config.to_owned()),
            rpc_url: None,
            account: account.map(str::to_owned),
            password_file: None,
            json: false,
        }
    }

    #[test]
    fn a_flag_outdoes_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("residual.toml");
        fs::write(&file, "account = \"ada\"\nrpc_url = \"http://127.0.0.1:1\"\n").unwrap();
        let settings = Settings::resolve(global(&file, Some("bob"))).unwrap();
        assert_eq!(settings.account.as_deref(), Some("bob"));
        assert_eq!(settings.rpc_url.as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(settings.data_dir, Path::new("/data"));
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("residual.toml");
        fs::write(&file, "acount = \"ada\"\n").unwrap();
        let error = Settings::resolve(global(&file, None)).unwrap_err().to_string();
        assert!(error.contains("acount"), "{error}");
        assert!(Settings::resolve(global(&temp.path().join("none.toml"), None)).is_err());
    }
}
