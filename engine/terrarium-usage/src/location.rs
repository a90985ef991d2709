//! Where a store is: a directory, or a bucket of S3.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use deltalake_core::logstore::{
    ObjectStoreFactory, ObjectStoreRef, StorageConfig, logstore_factories, object_store_factories,
};
use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;
use object_store::{DynObjectStore, path::Path as ObjectPath};
use url::Url;

use crate::error::{Error, Result};
use crate::local::Local;

/// A place that was found to be one.
#[derive(Clone, Debug)]
pub struct Location {
    /// With a slash at its end.
    pub url: Url,
    /// Of a directory on this machine.
    pub directory: Option<PathBuf>,
}

impl Location {
    /// `s3://BUCKET/PREFIX`, `file:///DIR`, or a path.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: String| Error::Location { location: text.to_owned(), why };
        if let Some(rest) = text.strip_prefix("s3://") {
            if rest.split('/').next().is_none_or(str::is_empty) {
                return Err(bad("name a bucket: s3://BUCKET/PREFIX".to_owned()));
            }
            let url = Url::parse(&format!("{}/", text.trim_end_matches('/')));
            return Ok(Location { url: url.map_err(|e| bad(e.to_string()))?, directory: None });
        }
        let path = match text.strip_prefix("file://") {
            Some(path) => PathBuf::from(path),
            None if text.contains("://") => {
                return Err(bad("write a directory, or s3://BUCKET/PREFIX".to_owned()));
            }
            None => PathBuf::from(text),
        };
        if path.as_os_str().is_empty() {
            return Err(bad("it is empty".to_owned()));
        }
        let path = std::path::absolute(&path).map_err(|e| bad(e.to_string()))?;
        // What is there of it is named without symbolic links, as the logs of the tables do it.
        let path = path.canonicalize().unwrap_or(path);
        let url = Url::from_directory_path(&path).map_err(|()| bad("it is no directory".to_owned()))?;
        Ok(Location { url, directory: Some(path) })
    }

    /// That of a table in it.
    pub fn table(&self, name: &str) -> Result<Url> {
        self.url
            .join(&format!("{name}/"))
            .map_err(|e| Error::Location { location: self.url.to_string(), why: e.to_string() })
    }

    /// How people name it.
    pub fn name(&self) -> String {
        match &self.directory {
            Some(directory) => directory.display().to_string(),
            None => self.url.as_str().trim_end_matches('/').to_owned(),
        }
    }

    /// Reads and writes below it.
    pub fn objects(&self) -> Result<Arc<DynObjectStore>> {
        let bad = |why: String| Error::Location { location: self.name(), why };
        match &self.directory {
            Some(directory) => {
                let prefix = ObjectPath::from_url_path(self.url.path()).map_err(|e| bad(e.to_string()))?;
                Ok(Arc::new(PrefixStore::new(Local::new(directory), prefix)))
            }
            None => {
                let (store, prefix) = s3(&self.url).map_err(|e| bad(e.to_string()))?;
                Ok(Arc::new(PrefixStore::new(store, prefix)))
            }
        }
    }

    /// Makes the directory; a bucket has to be there.
    pub fn make(&self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        make_private(directory).map_err(|source| Error::File { path: directory.clone(), source })
    }
}

/// Makes a directory that is nobody else's, if there is none.
pub fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// The bucket, and the path in it. What else has to be known (keys, region, an address other than Amazon's) stands in variables
/// named AWS_….
fn s3(url: &Url) -> object_store::Result<(Arc<DynObjectStore>, ObjectPath)> {
    let allow_http = std::env::var("AWS_ENDPOINT_URL").is_ok_and(|address| address.starts_with("http://"));
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(url.host_str().unwrap_or_default())
        .with_allow_http(allow_http)
        .build()?;
    Ok((Arc::new(store) as Arc<DynObjectStore>, ObjectPath::parse(url.path().trim_matches('/'))?))
}

/// Files of this machine, of which each is on disk before it has its name.
#[derive(Debug)]
struct Files;

impl ObjectStoreFactory for Files {
    fn parse_url_opts(
        &self,
        url: &Url,
        _: &StorageConfig,
    ) -> deltalake_core::DeltaResult<(ObjectStoreRef, ObjectPath)> {
        let path = ObjectPath::from_url_path(url.path()).map_err(object_store::Error::from)?;
        let table = url.to_file_path().unwrap_or_default();
        // That of the store, in which tables are.
        let root = table.parent().unwrap_or(Path::new("/"));
        Ok((Arc::new(Local::new(root)), path))
    }
}

#[derive(Debug)]
struct S3;

impl ObjectStoreFactory for S3 {
    fn parse_url_opts(
        &self,
        url: &Url,
        _: &StorageConfig,
    ) -> deltalake_core::DeltaResult<(ObjectStoreRef, ObjectPath)> {
        Ok(s3(url)?)
    }
}

/// Teaches the Delta log where s3:// leads, and how files of this machine are written. A commit is a file that must not be there yet, which S3 can promise (If-None-Match).
pub(crate) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (Ok(s3), Ok(file)) = (Url::parse("s3://"), Url::parse("file://")) else { return };
        object_store_factories().insert(s3.clone(), Arc::new(S3));
        object_store_factories().insert(file.clone(), Arc::new(Files));
        let usual = logstore_factories().get(&file).map(|factory| Arc::clone(&factory));
        if let Some(usual) = usual {
            logstore_factories().insert(s3, usual);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let local = Location::parse("/srv/store").unwrap();
        assert_eq!((local.url.as_str(), local.name().as_str()), ("file:///srv/store/", "/srv/store"));
        let bucket = Location::parse("s3://usage/store").unwrap();
        assert_eq!((bucket.url.as_str(), bucket.name().as_str()), ("s3://usage/store/", "s3://usage/store"));
        assert_eq!(bucket.table("imports").unwrap().as_str(), "s3://usage/store/imports/");
        for bad in ["", "s3://", "http://x/y", "s3:///x"] {
            assert!(Location::parse(bad).is_err(), "{bad}");
        }
    }
}
