//! A pair of files that somebody else renews, such as cert-manager by way of a mounted Secret.
//!
//! The content is compared, not times: a kubelet swaps a whole directory by a link, which a watch on the file never sees.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use certs::{Validity, certified_key};

use super::{Error, Fresh};

/// A certificate chain and its key, PEM.
#[derive(Debug)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    taken: Option<(Vec<u8>, Vec<u8>, Validity)>,
}

impl Files {
    /// These two. They need not be there yet.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), taken: None }
    }

    /// The pair, if it is another one than before.
    pub(super) fn step(&mut self, now: SystemTime) -> Result<Option<Fresh>, Error> {
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        if matches!(&self.taken, Some((before, its_key, _)) if (before, its_key) == (&certificate, &key)) {
            return Ok(None);
        }
        // Halves of two pairs are refused here.
        let pair = certified_key(&certificate, &key, &self.certificate.display().to_string())?;
        let validity = Validity::of(pair.end_entity_cert().map_err(certs::Error::from)?, "certificate")?;
        let in_use_holds = matches!(&self.taken, Some((.., in_use)) if in_use.holds(now));
        if in_use_holds && !validity.holds(now) {
            return Err(Error::OutOfTime { path: self.certificate.clone() });
        }
        self.taken = Some((certificate, key, validity));
        Ok(Some(Fresh { pair, validity }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use certs::{Authority, Error as Certs};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// Two pairs in a directory as a kubelet makes it, with `..data` as the link that is swapped.
    #[test]
    fn a_swapped_directory_is_noticed_and_halves_are_refused() -> Result<(), Box<dyn std::error::Error>> {
        let now = SystemTime::now();
        let folder = tempfile::tempdir()?;
        let (first, second) = (pair(now, DAY)?, pair(now, DAY * 2)?);
        for (name, (certificate, key)) in
            [("1", &first), ("2", &second), ("half", &(second.0.clone(), first.1.clone()))]
        {
            let inside = folder.path().join(name);
            std::fs::create_dir(&inside)?;
            std::fs::write(inside.join("tls.crt"), certificate)?;
            std::fs::write(inside.join("tls.key"), key)?;
        }
        let link = |name: &str| {
            let (new, data) = (folder.path().join("..new"), folder.path().join("..data"));
            std::os::unix::fs::symlink(name, &new)?;
            std::fs::rename(new, data)
        };
        let inside = folder.path().join("..data");
        let mut files = Files::new(inside.join("tls.crt"), inside.join("tls.key"));

        assert!(matches!(files.step(now), Err(Error::File { path, .. }) if path.ends_with("tls.crt")), "not there yet");
        link("1")?;
        let taken = files.step(now)?.ok_or("the first is taken")?.validity;
        assert!(files.step(now)?.is_none(), "the same again is nothing new");
        link("half")?;
        assert!(matches!(files.step(now), Err(Error::Certificate(Certs::Mismatch { .. }))));
        link("2")?;
        let renewed = files.step(now)?.ok_or("the second is taken")?.validity;
        assert!(renewed.not_after > taken.not_after);
        Ok(())
    }

    #[test]
    fn an_expired_pair_does_not_replace_one_that_holds() -> Result<(), Box<dyn std::error::Error>> {
        let now = SystemTime::now();
        let folder = tempfile::tempdir()?;
        let write = |(certificate, key): (String, String)| {
            std::fs::write(folder.path().join("c"), certificate)?;
            std::fs::write(folder.path().join("k"), key)
        };
        let mut files = Files::new(folder.path().join("c"), folder.path().join("k"));
        write(pair(now, DAY)?)?;
        assert!(files.step(now)?.is_some());
        write(pair(now - DAY * 3, DAY)?)?;
        assert!(matches!(files.step(now), Err(Error::OutOfTime { .. })));
        // With nothing better left, the expired one is as good as the other.
        assert!(files.step(now + DAY * 2)?.is_some());
        Ok(())
    }

    fn pair(now: SystemTime, lifetime: Duration) -> Result<(String, String), Certs> {
        // An authority's own pair is a pair like any other to who reads files.
        let authority = Authority::new(now, lifetime)?;
        Ok((authority.certificate().to_owned(), authority.key()))
    }
}
