//! Fetchers in use, for those who share a store or a client without knowing of each other.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use kithara_assets::{AssetStore, MemoryOptions};
use kithara_net::{Client, NetError, NetworkOptions};
use tokio::runtime::Id;

use crate::fetcher::Shared;
use crate::{FetchOptions, Fetcher, runtime};

/// Which client a fetcher is wanted over.
#[derive(Clone, Copy, Debug)]
pub enum ClientOf<'a> {
    /// This one.
    Caller(&'a Client),
    /// One of the fetcher's own, made with these options.
    Fetcher(&'a NetworkOptions),
}

/// Which store a fetcher is wanted over.
#[derive(Clone, Copy, Debug)]
pub enum StoreOf<'a> {
    /// This one.
    Caller(&'a AssetStore),
    /// One of the fetcher's own, 8 MiB in memory.
    Fetcher,
    /// None.
    Nobody,
}

/// A fetcher that was made for several users, while one of them is there.
struct InUse {
    fetcher: Weak<Shared>,
    /// Whether its client is its own.
    own_client: bool,
    /// Whether its store is its own.
    own_store: bool,
    /// Where its transfers and connections live. They end with it, so users on another runtime have another fetcher.
    runtime: Option<Id>,
}

/// The fetchers in use. No more than there are: what nobody uses any more goes when the next is asked for.
static IN_USE: Mutex<Vec<InUse>> = Mutex::new(Vec::new());

impl Fetcher {
    /// The fetcher that others in this process use over the same client and store, so that transfers and turns are shared with them;
    /// where there is none, a new one. It ends with its last user. What was made with [`Fetcher::new`] is never among them.
    ///
    /// Clients are the same as [`Client::is`] says, stores as [`AssetStore::is`] says. A client of the fetcher's own is the same for
    /// all who want it made with equal options, unless it keeps cookies: a jar has one user. So is a store of its own; those whom nothing
    /// but equal options brings together must keep apart what may be for one of them alone ([`Fetcher::asset`]).
    ///
    /// It keeps little for readers that come late: each user is to hold what it reads.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn in_use(client: ClientOf<'_>, store: StoreOf<'_>) -> Result<Self, NetError> {
        let runtime = runtime().ok().map(|handle| handle.id());
        // Whoever was the last user meanwhile is dropped after the lock is given back: a store waits for its disk then.
        let mut seen = Vec::new();
        let mut all = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|it| it.fetcher.strong_count() > 0);
        for it in all.iter().filter(|it| it.runtime == runtime) {
            let Some(shared) = it.fetcher.upgrade() else { continue };
            if it.fits(&shared, client, store) {
                return Ok(Self::over(shared));
            }
            seen.push(shared);
        }
        let (own_client, own_store) = (matches!(client, ClientOf::Fetcher(_)), matches!(store, StoreOf::Fetcher));
        let little = FetchOptions { window: 1 << 20, retain: 1 << 20, ..FetchOptions::default() };
        let is_common = own_client && !matches!(store, StoreOf::Caller(_));
        let fetcher = Self::made(client.made()?, store.made(), little, is_common);
        all.push(InUse { fetcher: Arc::downgrade(fetcher.shared()), own_client, own_store, runtime });
        Ok(fetcher)
    }
}

impl InUse {
    fn fits(&self, shared: &Shared, client: ClientOf<'_>, store: StoreOf<'_>) -> bool {
        let (used, kept) = (&shared.client, &shared.store);
        let is_client = match client {
            ClientOf::Caller(client) => used.is(client),
            ClientOf::Fetcher(options) => self.own_client && !options.cookies && *used.options() == *options,
        };
        let is_store = match store {
            StoreOf::Caller(store) => kept.as_ref().is_some_and(|kept| kept.is(store)),
            StoreOf::Fetcher => self.own_store,
            StoreOf::Nobody => kept.is_none(),
        };
        is_client && is_store
    }
}

impl ClientOf<'_> {
    fn made(self) -> Result<Client, NetError> {
        match self {
            Self::Caller(client) => Ok(client.clone()),
            Self::Fetcher(options) => Client::new(options.clone()),
        }
    }
}

impl StoreOf<'_> {
    fn made(self) -> Option<AssetStore> {
        match self {
            Self::Caller(store) => Some(store.clone()),
            Self::Fetcher => Some(AssetStore::memory(MemoryOptions::default())),
            Self::Nobody => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests that look at the list, one after the other: a look holds what it sees.
    static TURN: Mutex<()> = Mutex::new(());

    fn client() -> Client {
        Client::new(NetworkOptions::default()).unwrap()
    }

    fn memory() -> AssetStore {
        AssetStore::memory(MemoryOptions::default())
    }

    fn are_one(one: (ClientOf<'_>, StoreOf<'_>), other: (ClientOf<'_>, StoreOf<'_>)) -> bool {
        let (one, other) = (Fetcher::in_use(one.0, one.1).unwrap(), Fetcher::in_use(other.0, other.1).unwrap());
        Arc::ptr_eq(one.shared(), other.shared())
    }

    #[test]
    fn who_has_the_same_parts_has_the_same_fetcher() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (one, other, options) = (client(), client(), NetworkOptions::default());
        let (one, other, made) = (ClientOf::Caller(&one), ClientOf::Caller(&other), ClientOf::Fetcher(&options));
        let (store, elsewhere) = (memory(), memory());
        let (store, elsewhere) = (StoreOf::Caller(&store), StoreOf::Caller(&elsewhere));
        let (own, nobody) = (StoreOf::Fetcher, StoreOf::Nobody);
        for parts in [(made, store), (one, own), (one, nobody), (one, store), (made, own), (made, nobody)] {
            assert!(are_one(parts, parts), "{parts:?}");
        }
        assert!(!are_one((made, store), (made, elsewhere)), "another store");
        assert!(!are_one((one, store), (other, store)), "another client");
        assert!(!are_one((one, store), (made, store)), "one of its own");
        assert!(!are_one((one, nobody), (one, own)), "with and without a store");
        let is_common = |(client, store)| Fetcher::in_use(client, store).unwrap().shared().is_common;
        assert!(is_common((made, own)) && is_common((made, nobody)), "nothing but options");
        assert!(!is_common((made, store)) && !is_common((one, own)) && !is_common((one, nobody)), "something is given");
    }

    #[test]
    fn other_options_of_the_network_make_another_fetcher() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (store, plain, mut options) = (memory(), NetworkOptions::default(), NetworkOptions::default());
        let store = StoreOf::Caller(&store);
        options.max_redirects = 3;
        assert!(!are_one((ClientOf::Fetcher(&options), store), (ClientOf::Fetcher(&plain), store)));
        assert!(are_one((ClientOf::Fetcher(&options), store), (ClientOf::Fetcher(&options), store)));
        options.cookies = true;
        assert!(
            !are_one((ClientOf::Fetcher(&options), store), (ClientOf::Fetcher(&options), store)),
            "a jar has one user"
        );
    }

    #[test]
    fn runtimes_do_not_share_and_nothing_is_kept_for_nobody() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (client, store) = (client(), memory());
        let in_use = || Fetcher::in_use(ClientOf::Caller(&client), StoreOf::Caller(&store)).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (one, other) = (in_use(), runtime.block_on(async { in_use() }));
        assert!(!Arc::ptr_eq(one.shared(), other.shared()));
        let weak = |fetcher: Fetcher| Arc::downgrade(fetcher.shared());
        let (one, other) = (weak(one), weak(other));
        assert_eq!((one.strong_count(), other.strong_count()), (0, 0));
        drop(in_use());
        let gone = |it: &InUse| it.fetcher.ptr_eq(&one) || it.fetcher.ptr_eq(&other);
        assert!(!IN_USE.lock().unwrap().iter().any(gone), "forgotten");
    }
}
