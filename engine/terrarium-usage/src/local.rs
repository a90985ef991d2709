//! Files of this machine as an object store that outlives a power cut: what was put is on the disk, whole, before it has its name.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path as FilePath, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

/// Where files are that have no name yet.
pub(crate) const UNNAMED: &str = "_terrarium/unnamed";

#[derive(Debug)]
pub(crate) struct Local {
    files: LocalFileSystem,
    root: PathBuf,
}

impl Local {
    pub(crate) fn new(root: &FilePath) -> Local {
        Local { files: LocalFileSystem::new(), root: root.to_owned() }
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local({})", self.root.display())
    }
}

fn failed(path: &FilePath) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
        _ => Error::Generic { store: "local", source: format!("cannot write {path}: {source}").into() },
    }
}

fn directory(path: &FilePath) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))
}

/// What is under a name is whole, or the name is not there.
fn put(root: &FilePath, path: &FilePath, payload: &PutPayload, is_new: bool) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(root);
    let unnamed = root.join(UNNAMED);
    directory(folder)?;
    directory(&unnamed)?;
    let first = unnamed.join(uuid::Uuid::new_v4().to_string());
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&first)?;
        payload.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        if is_new { fs::hard_link(&first, path) } else { fs::rename(&first, path) }
    })();
    if written.is_err() || is_new {
        // It has its other name, or is of no use.
        let _ = fs::remove_file(&first);
    }
    written.map_err(failed(path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}

#[async_trait]
impl ObjectStore for Local {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let path = self.files.path_to_filesystem(location)?;
        let root = self.root.clone();
        let is_new = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.files.put_opts(location, payload, options).await,
        };
        tokio::task::spawn_blocking(move || put(&root, &path, &payload, is_new))
            .await
            .map_err(|source| Error::JoinError { source })??;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}
