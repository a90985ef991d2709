//! Records in the form of real ones (of PyYAML, numpy, pillow), with values of our own; broken ones; any.

use proptest::prelude::*;

use super::*;

const GHSA: &str = r#"{
  "schema_version": "1.7.3", "id": "GHSA-aaaa-bbbb-cccc", "modified": "2024-09-30T19:25:26Z",
  "published": "2021-03-25T21:26:26Z", "withdrawn": null,
  "aliases": ["CVE-2020-99999", "PYSEC-2020-999"],
  "summary": "Arbitrary code in PyYAML", "details": "Long.\n\nText.",
  "severity": [
    {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},
    {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}],
  "affected": [{
    "package": {"ecosystem": "PyPI", "name": "PyYAML", "purl": "pkg:pypi/pyyaml"},
    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "5.1b7"}, {"fixed": "5.3.1"}]}],
    "versions": ["5.1", "5.1.1", "5.2", "5.3"],
    "database_specific": {"source": "https://example.org/x.json"}}],
  "references": [{"type": "WEB", "url": "https://example.org"}],
  "database_specific": {"cwe_ids": ["CWE-20"], "severity": "CRITICAL", "github_reviewed": true}}"#;

const PYSEC: &str = r#"{
  "id": "PYSEC-2020-999", "published": "2020-03-24T15:15:00Z", "aliases": ["CVE-2020-99999"],
  "details": "A hole was found in PyYAML.\nMore.",
  "affected": [{
    "package": {"ecosystem": "PyPI", "name": "pyyaml"},
    "ranges": [
      {"type": "GIT", "repo": "https://example.org/x.git", "events": [{"introduced": "0"}, {"fixed": "5080ba5"}]},
      {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.4"}]}],
    "versions": ["3.10", "5.3.1", "2004b"]}]}"#;

const NUMPY: &str = r#"{
  "id": "GHSA-nnnn-nnnn-nnnn", "severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}],
  "affected": [
    {"package": {"ecosystem": "npm", "name": "numpy"}, "versions": ["9.9"]},
    {"package": {"ecosystem": "PyPI", "name": "numpy"}, "ranges": [{"type": "ECOSYSTEM",
      "events": [{"introduced": "2.0"}, {"last_affected": "2.0.1"}, {"introduced": "0"}, {"fixed": "1.21.0rc1"}]}]},
    {"package": {"ecosystem": "PyPI", "name": "numpy"}, "ranges": [{"type": "ECOSYSTEM",
      "events": [{"introduced": "1.21.0"}, {"fixed": "1.22"}, {"limit": "1.21.5"}]}]}],
  "database_specific": {"severity": "MODERATE"}}"#;

fn all(records: &[&str]) -> Advisories {
    let mut advisories = Advisories::new();
    for record in records {
        assert_eq!(advisories.read(record.as_bytes()).unwrap(), Taken::Kept { unusable_ranges: 0 });
    }
    advisories
}

fn ids(advisories: &Advisories, distribution: &str, version: &str) -> Vec<String> {
    advisories.of(distribution, version).into_iter().map(|advisory| advisory.id).collect()
}

#[test]
fn a_record_says_what_it_says() {
    let found = all(&[GHSA, GHSA]).of("pyyaml", "5.3");
    let wanted = Advisory {
        id: "GHSA-aaaa-bbbb-cccc".to_owned(),
        aliases: vec!["CVE-2020-99999".to_owned(), "PYSEC-2020-999".to_owned()],
        summary: Some("Arbitrary code in PyYAML".to_owned()),
        severity: Some(Severity { word: Word::Critical, score: Some(9.8) }),
        fixed: Some("5.3.1".to_owned()),
        published: NaiveDate::from_ymd_opt(2021, 3, 25),
    };
    assert_eq!(found, [wanted]);
}

#[test]
fn versions_are_compared_by_pep_440() {
    let advisories = all(&[GHSA, PYSEC]);
    let (ghsa, pysec) = ("GHSA-aaaa-bbbb-cccc", "PYSEC-2020-999");
    for (version, wanted) in [
        ("5.3.1", &[pysec][..]),
        ("5.3.0", &[ghsa, pysec]),
        ("5.10", &[]),
        ("5.1b6", &[pysec]),
        ("v5.1.B7", &[ghsa, pysec]),
        ("5.3.1rc1", &[ghsa, pysec]),
        ("5.3+site.2", &[ghsa, pysec]),
        ("5.4.dev0", &[pysec]),
        ("5.4", &[]),
        ("0.dev0", &[pysec]),
        ("2004b", &[pysec]),
        ("2004c", &[]),
        ("", &[]),
        ("5080ba5", &[]),
    ] {
        assert_eq!(ids(&advisories, "PyYAML", version), wanted, "{version}");
    }
    assert!(ids(&advisories, "py-yaml", "5.3").is_empty());
}

#[test]
fn ranges_have_ends_of_all_kinds() {
    let advisories = all(&[NUMPY]);
    for (version, fixed) in [
        ("1.20", Some(Some("1.21.0rc1"))),
        ("1.21.0rc1", None),
        ("1.21.0", Some(Some("1.22"))),
        ("1.21.5", None),
        ("2.0.1", Some(None)),
        ("2.0.1+cu118", Some(None)),
        ("2.0.2", None),
        ("9.9", None),
    ] {
        let found = advisories.of("NumPy", version);
        let found = found.first().map(|advisory| advisory.fixed.as_deref());
        assert_eq!(found, fixed, "{version}");
    }
    let severity = advisories.of("numpy", "1.20")[0].severity;
    assert_eq!(severity, Some(Severity { word: Word::Medium, score: None }));
}

#[test]
fn a_fix_that_has_the_hole_again_is_passed_over() {
    let record = |events: &str| {
        format!(
            r#"{{"id":"X","affected":[{{"package":{{"ecosystem":"PyPI","name":"Pillow"}},
            "ranges":[{{"type":"ECOSYSTEM","events":[{events}]}}]}}]}}"#
        )
    };
    let again = record(r#"{"introduced":"0"},{"fixed":"2"},{"introduced":"2"},{"fixed":"3"}"#);
    let found = all(&[&again]).of("pillow", "1");
    assert_eq!(found[0].fixed.as_deref(), Some("3"));
    assert_eq!(all(&[&again]).of("pillow", "2").len(), 1);
    let never = record(r#"{"introduced":"2"},{"fixed":"2"}"#);
    assert!(all(&[&never]).of("pillow", "2").is_empty());
    let unknown = record(r#"{"introduced":"0"},{"fixed":"not a version"}"#);
    let taken = Advisories::new().read(unknown.as_bytes()).unwrap();
    assert_eq!(taken, Taken::Kept { unusable_ranges: 1 });
}

#[test]
fn holes_that_are_the_same_are_merged() {
    let apart = r#"{"id":"PYSEC-1","affected":[{"package":{"ecosystem":"PyPI","name":"pyyaml"},"versions":["5.3"]}]}"#;
    let found = all(&[GHSA, PYSEC, apart]).of("pyyaml", "5.3");
    assert_eq!(found.len(), 3);
    let merged = merge(found);
    assert_eq!(merged.len(), 2);
    assert_eq!(merged[0].aliases, ["CVE-2020-99999", "PYSEC-2020-999"]);
    assert_eq!(merged[0].fixed.as_deref(), Some("5.4"));
    assert_eq!(merged[0].published, NaiveDate::from_ymd_opt(2020, 3, 24));
    assert_eq!(merged[1].id, "PYSEC-1");
}

#[test]
fn what_is_left_out() {
    let mut advisories = Advisories::new();
    let withdrawn = GHSA.replace("\"withdrawn\": null", "\"withdrawn\": \"2022-01-01T00:00:00Z\"");
    assert_eq!(advisories.read(withdrawn.as_bytes()).unwrap(), Taken::Withdrawn);
    let elsewhere = GHSA.replace("\"PyPI\"", "\"npm\"");
    assert_eq!(advisories.read(elsewhere.as_bytes()).unwrap(), Taken::Elsewhere);
    assert!(advisories.is_empty());
    let deep = format!("{{\"id\":\"X\",\"database_specific\":{}", "[".repeat(1 << 20));
    for broken in ["", "[]", "null", "{}", "{\"id\": 3}", "{\"id\":\"X\",\"affected\":[3]}", &deep] {
        assert!(matches!(advisories.read(broken.as_bytes()), Err(RecordError::Json { .. })));
    }
    let endless = std::io::repeat(b' ');
    assert!(matches!(advisories.read(endless), Err(RecordError::Large { .. })));
    let many = "{\"fixed\":\"1\"},".repeat(MOST_PARTS) + "{\"fixed\":\"1\"}";
    let many = GHSA.replace("{\"fixed\": \"5.3.1\"}", &many);
    let error = advisories.read(many.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the record GHSA-aaaa-bbbb-cccc has 4100 packages, ranges and events, more than 4096: take it out of the folder"
    );
}

#[test]
fn a_folder_with_broken_files_and_links() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("a/b")).unwrap();
    std::fs::write(path("a/b/1.json"), GHSA).unwrap();
    std::fs::write(path("2.json"), PYSEC).unwrap();
    std::fs::write(path("3.json"), b"\xff{").unwrap();
    std::fs::write(path("4.txt"), "no record").unwrap();
    std::os::unix::fs::symlink(path("2.json"), path("5.json")).unwrap();
    std::os::unix::fs::symlink(folder.path(), path("a/circle")).unwrap();
    let mut advisories = Advisories::new();
    let read = advisories.read_folder(folder.path()).unwrap();
    assert_eq!((advisories.len(), read.kept, read.withdrawn, read.elsewhere), (2, 2, 0, 0));
    let names: Vec<_> = read.unread.iter().map(|unread| unread.path.file_name().unwrap()).collect();
    assert_eq!(names, ["3.json", "5.json"]);
    let error = advisories.read_folder(&path("none")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the folder of advisories "), "{error}");
}

#[test]
fn base_scores() {
    // The first seven are examples with scores in FIRST's "CVSS v3.1 Examples"; the last three by hand.
    for (vector, score) in [
        ("AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
        ("AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1),
        ("AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5),
        ("AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 7.8),
        ("AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 9.9),
        ("AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.6),
        ("AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
    ] {
        assert_eq!(cvss3_base_score(&format!("CVSS:3.1/{vector}")), Some(score), "{vector}");
        assert_eq!(cvss3_base_score(&format!("CVSS:3.0/{vector}/E:P/RL:O")), Some(score), "{vector}");
    }
    for broken in ["", "CVSS:3.1/", "CVSS:3.1/AV:N", "CVSS:4.0/AV:N", "CVSS:3.1/AV:N/AV:N", "CVSS:3.1/AV"] {
        assert_eq!(cvss3_base_score(broken), None);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Advisories::new().read(&bytes[..]);
    }

    #[test]
    fn no_damaged_record_makes_it_panic(at in 0usize..2000, with in "[\\[\\]{}\",:0-9a-z.]{0,3}", version in ".{0,8}") {
        let mut text = [GHSA, NUMPY][at % 2].to_owned();
        let at = at % text.len();
        if text.is_char_boundary(at) { text.replace_range(at..(at + 1), &with); }
        let mut advisories = Advisories::new();
        let _ = advisories.read(text.as_bytes());
        let _ = merge(advisories.of("numpy", &version));
        let _ = advisories.of("pyyaml", "5.3");
    }

    #[test]
    fn no_vector_makes_it_panic(vector in "CVSS:3.[01](/(AV|AC|PR|UI|S|C|I|A):[NALPHRUC]){0,10}") {
        if let Some(score) = cvss3_base_score(&vector) {
            prop_assert!((0.0..=10.0).contains(&score));
            prop_assert!((score * 10.0 - (score * 10.0).round()).abs() < 1e-9);
        }
    }

    #[test]
    fn a_range_is_what_lies_between(from in 0u8..20, to in 0u8..20, version in 0u8..20) {
        let record = format!(
            r#"{{"id":"X","affected":[{{"package":{{"ecosystem":"PyPI","name":"x"}},"ranges":[{{"type":"ECOSYSTEM",
            "events":[{{"introduced":"1.{from}"}},{{"fixed":"1.{to}"}}]}}]}}]}}"#);
        prop_assume!(from <= to);
        let found = all(&[&record]).of("X", &format!("1.{version}"));
        prop_assert_eq!(found.len() == 1, from <= version && version < to);
    }
}
