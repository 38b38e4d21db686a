"""The store over S3's real wire protocol (moto's server in this process, s3fs as the client)."""

import os
from collections.abc import Iterator

import boto3  # type: ignore[import-untyped]
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from apps.content.data import CHUNK_BYTES
from apps.content.domain.cid import cid_of
from apps.content.errors import ContentMissing, ContentTampered, ContentUnavailable
from apps.content.store import open_store

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:aiobotocore"),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"bucket-{abs(hash(request.node.nodeid)):x}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize("size", [0, 5, CHUNK_BYTES, 9 * CHUNK_BYTES + 1])
def test_what_was_put_in_s3_is_got(bucket: str, size: int):
    store = open_store(f"s3://{bucket}/content")
    data = os.urandom(size)
    cid = store.put(data)
    assert cid == cid_of(data)
    assert store.has(cid)
    assert open_store(f"s3://{bucket}/content").get(cid) == data


def test_a_content_that_is_not_in_the_bucket_is_missing(bucket: str):
    store = open_store(f"s3://{bucket}/content")
    assert not store.has(cid_of(b"never put"))
    with pytest.raises(ContentMissing):
        store.get(cid_of(b"never put"))


def test_a_content_put_by_another_client_is_seen_at_once(bucket: str):
    reader = open_store(f"s3://{bucket}/content")
    cid = cid_of(b"put later")
    assert not reader.has(cid)
    open_store(f"s3://{bucket}/content").put(b"put later")
    assert reader.has(cid)
    assert reader.get(cid) == b"put later"


def test_a_tampered_object_is_refused(bucket: str):
    store = open_store(f"s3://{bucket}/content")
    cid = store.put(b"the truth")
    client = boto3.client("s3")
    (found,) = client.list_objects_v2(Bucket=bucket)["Contents"]
    client.put_object(Bucket=bucket, Key=found["Key"], Body=b"the trutH")
    with pytest.raises(ContentTampered):
        store.get(cid)


def test_a_bucket_that_does_not_exist_is_unavailable_for_writing(bucket: str):
    with pytest.raises(ContentUnavailable):
        open_store(f"s3://{bucket}-of-nobody/content").put(b"lost")


def test_an_endpoint_that_does_not_answer_is_unavailable(bucket: str, monkeypatch: pytest.MonkeyPatch):
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = open_store(f"s3://{bucket}/elsewhere")
    with pytest.raises(ContentUnavailable):
        store.put(b"lost")
    with pytest.raises(ContentUnavailable):
        store.get(cid_of(b"lost"))


def test_a_forked_process_gets_its_own_client(bucket: str):
    store = open_store(f"s3://{bucket}/content")
    cid = store.put(b"before the fork")
    child = os.fork()
    if child == 0:
        os._exit(0 if store.get(cid) == b"before the fork" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
