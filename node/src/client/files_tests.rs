use super::*;

#[test]
#[cfg(unix)]
fn what_is_not_a_plain_file_is_never_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // A socket cannot be opened as a file, so this fails; renaming something over it would have succeeded.
    assert!(matches!(
        write(&path, b"picture", Access::Public),
        Err(FileError::Unwritable { .. })
    ));
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
}

#[test]
fn files_are_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, b"one", Access::Public).unwrap();
    write(&path, b"two", Access::Public).unwrap();
    assert_eq!(read(&path, 3).unwrap(), b"two");
    assert!(matches!(
        read(&path, 2),
        Err(FileError::TooLarge { limit: 2, .. })
    ));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
#[cfg(unix)]
fn a_file_that_is_replaced_keeps_its_mode_and_a_new_secret_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    write(&path, b"one", Access::Private).unwrap();
    assert_eq!(mode(), 0o600);
    for kept in [0o600, 0o640, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(kept)).unwrap();
        for access in [Access::Public, Access::Private] {
            write(&path, b"two", access).unwrap();
            assert_eq!(mode(), kept);
        }
    }
}

#[test]
#[cfg(unix)]
fn a_link_stays_a_link_and_its_file_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let (link, target) = (folder.path().join("link"), other.join("target"));
    std::os::unix::fs::symlink("other/target", &link).unwrap();
    // At first the link dangles, then it names a file.
    for content in [b"one", b"two"] {
        check_writable(&link).unwrap();
        write(&link, content, Access::Public).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), content);
    }
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    let circle = folder.path().join("circle");
    std::os::unix::fs::symlink("circle", &circle).unwrap();
    assert!(check_writable(&circle).is_err());
}

#[test]
fn names_of_255_bytes_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x".repeat(255));
    check_writable(&path).unwrap();
    write(&path, b"one", Access::Public).unwrap();
    write(&path, b"two", Access::Public).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
}

#[test]
fn new_files_never_replace_others_and_never_follow_links() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), b"old").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("elsewhere", folder.path().join("a-2.png")).unwrap();
    #[cfg(not(unix))]
    fs::write(folder.path().join("a-2.png"), b"old").unwrap();
    let path = write_new(folder.path(), "a.png", b"new", Access::Private).unwrap();
    assert_eq!(path, folder.path().join("a-3.png"));
    assert_eq!(fs::read(folder.path().join("a.png")).unwrap(), b"old");
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn a_place_that_cannot_be_written_to_is_known_before_it_is_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    check_writable(&path).unwrap();
    check_writable(Path::new("-")).unwrap();
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "trying leaves no file"
    );
    fs::write(&path, b"kept").unwrap();
    check_writable(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"kept");
    for wrong in [folder.path().to_owned(), folder.path().join("none/file")] {
        let error = check_writable(&wrong).unwrap_err();
        assert!(matches!(error, FileError::Unwritable { path, .. } if path == wrong));
    }
}

#[test]
fn an_output_that_is_the_input_is_refused_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.png");
    fs::write(&path, b"x").unwrap();
    let alias = folder.path().join(".").join("photo.png");
    assert!(check_distinct(&path, &alias).is_err());
    assert!(check_distinct(&path, &folder.path().join("other.png")).is_ok());
    assert!(check_distinct(Path::new("-"), Path::new("-")).is_ok());
}

#[test]
fn control_characters_are_escaped_and_other_text_is_left_alone() {
    assert_eq!(shown(Path::new("a\x1b[2Jb\nc")), "a\\u{1b}[2Jb\\nc");
    assert_eq!(
        printable("line\nline\x1b]0;title\x07"),
        "line\nline\\u{1b}]0;title\\u{7}"
    );
    assert!(matches!(printable("grün: 3 × 4 …"), Cow::Borrowed(_)));
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"caf\xe9.png");
        assert_eq!(shown(Path::new(name)), "caf\\xe9.png");
    }
}

#[test]
fn what_a_killed_process_left_is_removed_before_the_next_file_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let leftover = folder.path().join(".raft-lsb-0123456789abcdef");
    let file = folder.path().join("file");
    let checks: [&dyn Fn() -> Result<(), FileError>; 2] =
        [&|| check_writable(&file), &|| check_folder(folder.path())];
    for check in checks {
        fs::write(&leftover, b"a part of a picture").unwrap();
        check().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
