"""Real XMPP servers, and accounts there."""

from __future__ import annotations

import pytest

from tests.relay.transports.accounts import Account
from tests.support.ejabberd import Ejabberd
from tests.support.prosody import Prosody


@pytest.fixture(scope="module", params=[Prosody, Ejabberd], ids=["prosody", "ejabberd"])
def server(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def account(server, tmp_path):
    return Account(server, tmp_path)


@pytest.fixture
def other(server, tmp_path):
    return Account(server, tmp_path)


@pytest.fixture
def config(account):
    return account.config()
