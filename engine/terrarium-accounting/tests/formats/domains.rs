//! Fields of science.

use terrarium_accounting::domains;
use terrarium_segment::Domain;

fn read(text: &str) -> Vec<Result<Domain, (u64, String)>> {
    let mut rows = Vec::new();
    domains(&mut text.as_bytes(), |row| {
        rows.push(row);
        Ok(())
    })
    .unwrap();
    rows
}

fn domain(
    project: &str,
    domain: &str,
    since: Option<i32>,
    until: Option<i32>,
) -> Result<Domain, (u64, String)> {
    Ok(Domain { project: project.to_owned(), domain: domain.to_owned(), since, until })
}

#[test]
fn days_may_be_open() {
    let text = "project,domain,since,until\nphys,Physics,1970-01-02,2026-11-22\n\n\
        bio,\"Biology, Life\",,\nx,Y,2000-03-01,\n";
    let wanted = [
        domain("phys", "Physics", Some(1), Some(20_779)),
        domain("bio", "Biology, Life", None, None),
        domain("x", "Y", Some(11_017), None),
    ];
    assert_eq!(read(text), wanted);
}

#[test]
fn columns_have_other_names_and_any_order() {
    let text = "\u{feff}to,Field_of_Science,note,Account\n2000-01-01,Chemistry,x,chem\n";
    assert_eq!(read(text), [domain("chem", "Chemistry", None, Some(10_957))]);
    assert_eq!(read("account,field\na,b\n"), [domain("a", "b", None, None)]);
    assert_eq!(read("science_field,project,from\nb,a,\n"), [domain("a", "b", None, None)]);
}

#[test]
fn two_columns_need_no_header() {
    assert_eq!(
        read("a,Physics\nb,Biology\n"),
        [domain("a", "Physics", None, None), domain("b", "Biology", None, None)]
    );
    assert!(read("a,b,c\n")[0].is_err());
}

#[test]
fn errors_have_their_line() {
    let text = "project,domain,since,until\na,b,2026-01-02,2026-01-01\n,b,,\na,,,\n\n\
        a,b,yesterday,\na,b,2026-1-1,\nonly\na,b,,\n";
    let lines: Vec<_> = read(text).into_iter().filter_map(Result::err).map(|(line, _)| line).collect();
    assert_eq!(lines, [2, 3, 4, 6, 7, 8]);
    assert!(read(text)[0].as_ref().unwrap_err().1.contains("before"));
    assert!(read("a,b\nc,d,e\n")[1].is_err());
    assert!(read("").is_empty());
}
