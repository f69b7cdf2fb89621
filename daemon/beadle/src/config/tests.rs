//! Valid configurations, and every error with its text, compared with golden files in
//! `tests/config`.

use super::*;
use std::fs;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

/// An environment with a few secrets.
fn environment(credentials: &Path) -> Environment {
    let credentials = credentials.display().to_string();
    let variable = move |name: &str| match name {
        "CREDENTIALS_DIRECTORY" => Some(credentials.clone()),
        "WA_TOKEN" | "WA_APP_SECRET" | "WA_VERIFY" => Some(format!("value of {name}")),
        "EMPTY" => Some("\n".into()),
        "SHORT" => Some("short".into()),
        _ => None,
    };
    Environment { variable: Box::new(variable), without_systemd: false, unsettled: std::time::Duration::ZERO }
}

fn credentials() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wa-token"), "token of systemd\n").unwrap();
    folder
}

fn read(path: &str) -> Result<Loaded, Invalid> {
    let credentials = credentials();
    load(&folder().join(path), &environment(credentials.path()))
}

/// Compares with a golden file; the machine's paths are removed.
fn golden(name: &str, folder_below: &str, text: &str, also: &[(&Path, &str)]) {
    let mut text = text.replace(&format!("{}/", folder().display()), "");
    for (path, name) in also {
        text = text.replace(&path.display().to_string(), name);
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder().join(folder_below));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn minimal_configuration_gets_the_defaults() {
    let loaded = read("minimal.toml").unwrap();
    golden("minimal", "", &format!("{:#?}", loaded.config), &[]);
    assert_eq!(loaded.config.apps["main"].access_token.expose(), "value of WA_TOKEN");
}

#[test]
fn maximal_configuration_sets_every_key() {
    let loaded = read("maximal.toml").unwrap();
    golden("maximal", "", &format!("{:#?}", loaded.config), &[]);
    let app = &loaded.config.apps["main"];
    assert_eq!(app.access_token.expose(), "token of systemd");
    assert_eq!(app.app_secret.expose(), "app-secret-of-the-file");
    let text = fs::read_to_string(folder().join("maximal.toml")).unwrap();
    let tree = tree::parse(0, &text, &mut diagnostic::Diagnostics::default());
    let missing: Vec<_> = loaded.known.iter().filter(|key| !contains(&tree, key)).collect();
    assert!(missing.is_empty(), "maximal.toml does not set {missing:?}");
}

#[test]
fn folder_merges_conf_d() {
    let loaded = read("merged").unwrap();
    let alone = read("minimal.toml").unwrap();
    assert_eq!(format!("{:?}", loaded.config.apps), format!("{:?}", alone.config.apps));
    assert_eq!(format!("{:?}", loaded.config.channels), format!("{:?}", alone.config.channels));
    assert_eq!(loaded.files.len(), 3);
}

#[test]
fn key_set_in_two_files_is_an_error_that_names_both() {
    golden("clash", "", &read("clash").unwrap_err().render(false), &[]);
}

#[test]
fn schedule_defined_in_two_files_is_an_error() {
    golden("two-schedules", "", &read("two-schedules").unwrap_err().render(false), &[]);
}

#[test]
fn missing_file_is_reported() {
    let invalid = read("nowhere.toml").unwrap_err();
    assert_eq!(invalid.count(), 1);
    golden("nowhere", "", &invalid.render(false), &[]);
    // `beadle status` prints the code before the message.
    assert_eq!(invalid.render(false), format!("error[config-unreadable]: {}", invalid.message()));
}

#[test]
fn all_errors_are_reported_at_once() {
    let mut fixtures: Vec<_> = fs::read_dir(folder().join("invalid"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    fixtures.sort();
    assert!(fixtures.len() >= 7, "{fixtures:?}");
    for path in fixtures {
        let credentials = credentials();
        let invalid = load(&path, &environment(credentials.path())).unwrap_err();
        let output = invalid.render(false);
        let lines: Vec<_> = invalid.lines().map(|(_, line)| line).collect();
        assert_eq!(lines.len(), invalid.count());
        assert!(!output.contains("EAAG") && !lines.concat().contains("EAAG"), "a secret is printed: {output}{lines:?}");
        assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
        let name = path.file_stem().unwrap().to_str().unwrap();
        golden(name, "invalid", &output, &[(credentials.path(), "CREDENTIALS")]);
    }
}

#[test]
fn check_skips_credentials_outside_systemd() {
    let mut environment = environment(Path::new("/"));
    environment.variable = Box::new(|name| (name == "WA_VERIFY").then(|| "x".into()));
    let path = folder().join("maximal.toml");
    assert!(load(&path, &environment).unwrap_err().render(false).contains("only under systemd"));
    environment.without_systemd = true;
    let loaded = load(&path, &environment).unwrap();
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    let output = warning.render(&loaded.sources, false).replace(&format!("{}/", folder().display()), "");
    let expected = "warning[config-unchecked]: credential `wa-token` was not checked: credentials exist only under systemd\n  --> maximal.toml:";
    assert!(output.replace("\n --> ", "\n  --> ").starts_with(expected), "{output}");
}

/// The installed example loads unchanged, states the defaults, and contains every key.
#[test]
fn example_explains_every_key() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/beadle.toml");
    let unchanged = load(&example, &environment(Path::new("/"))).unwrap();
    let defaults = {
        let empty = tempfile::tempdir().unwrap();
        fs::write(empty.path().join("beadle.toml"), "").unwrap();
        load(empty.path(), &environment(Path::new("/"))).unwrap()
    };
    assert_eq!(format!("{:#?}", unchanged.config), format!("{:#?}", defaults.config));

    // A line that starts with `#` and no space is an example. With all of them enabled, every key
    // must be set.
    let text: String = fs::read_to_string(&example)
        .unwrap()
        .lines()
        .map(|line| {
            let example =
                line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| !c.is_whitespace() && c != '#'));
            format!("{}\n", example.unwrap_or(line))
        })
        .collect();
    let whole = tempfile::tempdir().unwrap();
    fs::write(whole.path().join("beadle.toml"), &text).unwrap();
    let rates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/rates.toml");
    fs::copy(rates, whole.path().join("rates.toml")).unwrap();
    fs::write(whole.path().join("holidays.ics"), "BEGIN:VCALENDAR\nEND:VCALENDAR\n").unwrap();
    let mut lenient = environment(Path::new("/"));
    lenient.variable = Box::new(|_| None);
    lenient.without_systemd = true;
    let loaded = load(whole.path(), &lenient).unwrap_or_else(|invalid| panic!("{invalid}"));
    let tree = tree::parse(0, &text, &mut diagnostic::Diagnostics::default());
    let missing: Vec<_> = loaded.known.iter().filter(|key| !contains(&tree, key)).collect();
    assert!(missing.is_empty(), "config/beadle.toml does not explain {missing:?}");
    assert!(loaded.known.len() > 40, "{:?}", loaded.known);
}

/// Whether a key such as `channels.*.app` is set.
fn contains(table: &tree::Table, key: &str) -> bool {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    table.0.iter().filter(|(name, _)| first == "*" || *name == first).any(|(_, entry)| {
        match (rest, &entry.node.value) {
            (None, _) => true,
            (Some(rest), tree::Value::Table(inner)) => contains(inner, rest),
            // In an array of tables, `*` is any item.
            (Some(rest), tree::Value::Array(items)) => {
                let rest = rest.strip_prefix("*.").unwrap_or(rest);
                items.iter().any(|item| matches!(&item.value, tree::Value::Table(inner) if contains(inner, rest)))
            }
            _ => false,
        }
    })
}
