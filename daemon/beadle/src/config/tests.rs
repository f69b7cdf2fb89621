//! Configurations that are right, and every way of being wrong with what is said about it.

use super::*;
use std::fs;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

/// A world with a few secrets in it.
fn surroundings(credentials: &Path) -> Surroundings {
    let credentials = credentials.display().to_string();
    let variable = move |name: &str| match name {
        "CREDENTIALS_DIRECTORY" => Some(credentials.clone()),
        "WA_TOKEN" | "WA_APP_SECRET" | "WA_VERIFY" => Some(format!("value of {name}")),
        "EMPTY" => Some("\n".into()),
        _ => None,
    };
    Surroundings { variable: Box::new(variable), without_systemd: false }
}

fn credentials() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wa-token"), "token of systemd\n").unwrap();
    folder
}

fn read(path: &str) -> Result<Loaded, Invalid> {
    let credentials = credentials();
    load(&folder().join(path), &surroundings(credentials.path()))
}

/// Compares with the golden file beside the fixtures, with the machine's paths taken out.
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
fn the_least_that_runs() {
    let loaded = read("minimal.toml").unwrap();
    golden("minimal", "", &format!("{:#?}", loaded.config), &[]);
    assert_eq!(loaded.config.apps["main"].access_token.expose(), "value of WA_TOKEN");
}

#[test]
fn every_key_set() {
    let loaded = read("maximal.toml").unwrap();
    golden("maximal", "", &format!("{:#?}", loaded.config), &[]);
    let app = &loaded.config.apps["main"];
    assert_eq!(app.access_token.expose(), "token of systemd");
    assert_eq!(app.app_secret.expose(), "app-secret-of-the-file");
}

#[test]
fn a_folder_with_its_conf_d_is_one_configuration() {
    let loaded = read("merged").unwrap();
    let alone = read("minimal.toml").unwrap();
    assert_eq!(format!("{:?}", loaded.config.apps), format!("{:?}", alone.config.apps));
    assert_eq!(format!("{:?}", loaded.config.channels), format!("{:?}", alone.config.channels));
    assert_eq!(loaded.files.len(), 3);
}

#[test]
fn a_key_set_in_two_files_names_both() {
    golden("clash", "", &read("clash").unwrap_err().render(false), &[]);
}

#[test]
fn schedules_of_several_files_are_one_list_and_two_of_one_name_name_both() {
    golden("two-schedules", "", &read("two-schedules").unwrap_err().render(false), &[]);
}

#[test]
fn a_file_that_is_not_there() {
    let invalid = read("nowhere.toml").unwrap_err();
    assert_eq!(invalid.count(), 1);
    golden("nowhere", "", &invalid.render(false), &[]);
}

#[test]
fn mistakes_are_told_all_at_once() {
    let mut fixtures: Vec<_> = fs::read_dir(folder().join("invalid"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    fixtures.sort();
    assert!(fixtures.len() >= 7, "{fixtures:?}");
    for path in fixtures {
        let credentials = credentials();
        let invalid = load(&path, &surroundings(credentials.path())).unwrap_err();
        let shown = invalid.render(false);
        let lines: Vec<_> = invalid.lines().map(|(_, line)| line).collect();
        assert_eq!(lines.len(), invalid.count());
        assert!(!shown.contains("EAAG") && !lines.concat().contains("EAAG"), "a secret is shown: {shown}{lines:?}");
        assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
        let name = path.file_stem().unwrap().to_str().unwrap();
        golden(name, "invalid", &shown, &[(credentials.path(), "CREDENTIALS")]);
    }
}

#[test]
fn outside_of_systemd_a_check_does_without_credentials() {
    let mut surroundings = surroundings(Path::new("/"));
    surroundings.variable = Box::new(|name| (name == "WA_VERIFY").then(|| "x".into()));
    let path = folder().join("maximal.toml");
    assert!(load(&path, &surroundings).unwrap_err().render(false).contains("only systemd"));
    surroundings.without_systemd = true;
    let loaded = load(&path, &surroundings).unwrap();
    assert_eq!(loaded.notes, ["the credential `wa-token` was not looked up: only systemd hands credentials over"]);
}

/// The example that is installed: it loads as it is, says the defaults, and knows every key.
#[test]
fn the_example_explains_every_key() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/beadle.toml");
    let as_it_is = load(&example, &surroundings(Path::new("/"))).unwrap();
    let defaults = {
        let empty = tempfile::tempdir().unwrap();
        fs::write(empty.path().join("beadle.toml"), "").unwrap();
        load(empty.path(), &surroundings(Path::new("/"))).unwrap()
    };
    assert_eq!(format!("{:#?}", as_it_is.config), format!("{:#?}", defaults.config));

    // A line that begins with `#` and no space is an example: with all of them in use, no key may be left out.
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
    fs::write(whole.path().join("holidays.ics"), "BEGIN:VCALENDAR\nEND:VCALENDAR\n").unwrap();
    let mut lenient = surroundings(Path::new("/"));
    lenient.variable = Box::new(|_| None);
    lenient.without_systemd = true;
    let loaded = load(whole.path(), &lenient).unwrap_or_else(|invalid| panic!("{invalid}"));
    let tree = tree::parse(0, &text, &mut mistake::Mistakes::default());
    let missing: Vec<_> = loaded.known.iter().filter(|key| !contains(&tree, key)).collect();
    assert!(missing.is_empty(), "config/beadle.toml does not explain {missing:?}");
    assert!(loaded.known.len() > 40, "{:?}", loaded.known);
}

/// Whether a key as `channels.*.app` is set somewhere.
fn contains(table: &tree::Table, key: &str) -> bool {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    table.0.iter().filter(|(name, _)| first == "*" || *name == first).any(|(_, entry)| {
        match (rest, &entry.node.value) {
            (None, _) => true,
            (Some(rest), tree::Value::Table(inner)) => contains(inner, rest),
            // A list of tables: `*` is any of them.
            (Some(rest), tree::Value::Array(items)) => {
                let rest = rest.strip_prefix("*.").unwrap_or(rest);
                items.iter().any(|item| matches!(&item.value, tree::Value::Table(inner) if contains(inner, rest)))
            }
            _ => false,
        }
    })
}
