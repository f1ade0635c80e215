"""Faults of robustness: objects and connections that stop the product, and what authors are told (as it was).

A fault that ended the process raises RuntimeError, which the reference does not handle.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from typing import TYPE_CHECKING, Any

import httpx
from tests.mutants.mutant import fault, patch

from lbproof_reference import events, informer, kube, pools, readiness, reading
from lbproof_reference.advertisements import Advertisement
from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controller
from lbproof_reference.controller import main as controller_main
from lbproof_reference.services import ingress_ips
from lbproof_reference.speaker import main as speaker_main
from lbproof_reference.speaker import offers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from lbproof_reference.kube import Object


@fault(
    uncaught="every case applies an L2Advertisement with a spec",
    test="test_offers.py::test_an_advertisement_that_says_nothing_carries_every_pool",
)
def advertisement_without_spec_ends_speakers() -> None:
    """An L2Advertisement without `spec`, MetalLB's minimal form, ends every speaker."""

    def read(obj: Object) -> Advertisement:
        if "spec" not in obj:
            raise RuntimeError("KeyError: 'spec'")
        return Advertisement(obj)

    patch(offers, "Advertisement", read)


@fault(
    uncaught="no case creates an object that is nested deeply",
    test="test_informer.py::test_an_object_nested_deeper_than_python_recurses_is_followed",
)
def deep_object_ends_process() -> None:
    """An object whose `managedFields` are nested 1,200 levels deep ends the controller and the speakers."""

    async def parse(text: bytes) -> Any:  # noqa: ANN401 - JSON
        try:
            return json.loads(text)
        except RecursionError as error:
            raise RuntimeError("RecursionError") from error

    patch(kube, "parse", parse)


@fault(
    uncaught="no case writes an object of a megabyte",
    test="test_informer.py::test_other_tasks_run_while_something_large_is_parsed",
)
def large_object_delays_heartbeats() -> None:
    """While an object of a megabyte is parsed, no heartbeat is sent and no request answered."""
    patch(reading, "_AT_ONCE", 1 << 30)


@fault(
    uncaught="no case writes such a character to an annotation",
    test="test_informer.py::test_a_line_of_a_watch_ends_at_a_newline_alone",
)
def line_separator_freezes_watch() -> None:
    """U+0085 or U+2028 in an annotation splits a line of a watch, which is repeated from the same version for ever."""

    async def lines(
        self: kube.Kube, path: str, opened: Callable[[], None], **params: str | int
    ) -> AsyncIterator[Object]:
        async with self._client.stream("GET", path, params=params, timeout=None) as response:
            opened()
            response.raise_for_status()
            async for line in response.aiter_lines():
                try:
                    yield json.loads(line)
                except ValueError as error:  # an HTTP error has the informer watch again from the same version
                    raise httpx.RemoteProtocolError("malformed line") from error

    patch(kube.Kube, "lines", lines)


@fault(
    uncaught="no case writes a status, and new API servers reject an address with leading zeros",
    test="test_offers.py::test_no_object_that_cannot_be_read_stops_the_others",
)
def unreadable_status_ends_process() -> None:
    """A status whose address cannot be parsed, such as 10.0.0.01, ends the controller and the speakers."""

    def strict(real: Callable[..., Any], position: int) -> Callable[..., Any]:
        def read(*args: Any) -> Any:  # noqa: ANN401 - the arguments of `real`
            for text in ingress_ips(args[position]):
                try:
                    ipaddress.ip_address(text)
                except ValueError as error:
                    raise RuntimeError("ValueError") from error
            return real(*args)

        return read

    patch(offers.AnnouncementPolicy, "announceable", strict(offers.AnnouncementPolicy.announceable, 2))
    restore = controller.Controller._restore_address  # noqa: SLF001

    def restore_strictly(self: controller.Controller, key: str, text: str, recorded: Any, *, in_status: bool) -> None:  # noqa: ANN401
        try:
            restore(self, key, text, recorded, in_status=in_status)
        except ValueError as error:
            raise RuntimeError("ValueError") from error

    patch(controller.Controller, "_restore_address", restore_strictly)


@fault(
    uncaught="no case has the API server reject the write of a status",
    test="test_reconcile.py::test_a_status_that_the_api_server_rejects_is_told_and_not_sent_again",
)
def retries_rejected_status_for_ever() -> None:
    """A status that the API server rejects for its content is sent again for ever, without an Event."""
    patch(controller, "_REJECTED", ())


@fault(
    uncaught="no case has the API server reject a request of the implementation",
    test="test_reconcile.py::test_the_secret_is_created_however_often_the_api_server_refuses",
)
def secret_not_created_after_refusal() -> None:
    """The Secret of the heartbeats is never created if the first attempt is answered by 400, 404 or 422."""
    real = controller.Controller._create_secret  # noqa: SLF001

    async def create(self: controller.Controller, name: str) -> None:
        try:
            await real(self, name)
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in {400, 404, 422}:
                raise

    patch(controller.Controller, "_create_secret", create)


@fault(
    uncaught="no case makes a request of more than 1,024 bytes",
    test="test_reconcile.py::test_a_huge_request_is_told_in_part",
)
def event_longer_than_allowed() -> None:
    """The message of an Event repeats a request of any length, so that the API server rejects the Event."""
    patch(events, "_MESSAGE_BYTES", 1 << 20)


@fault(
    uncaught="no case connects to the implementation's own ports",
    test="test_ready.py::test_who_does_not_ask_in_time_is_left",
)
def readiness_port_without_limits() -> None:
    """The readiness port is open on every address, and connections that send nothing use up all descriptors."""

    async def serve_everywhere(_host: str, port: int, ready: Callable[[], bool]) -> asyncio.Server:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            status = b"200 OK" if ready() else b"503 Service Unavailable"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        return await asyncio.start_server(answer, None, port)

    for module in (readiness, controller_main, speaker_main):
        patch(module, "serve_ready", serve_everywhere)


@fault(
    uncaught="no case connects to the implementation's own ports",
    test="test_ready.py::test_a_burst_of_connections_does_not_keep_the_kubelet_out",
)
def burst_of_connections_resets_probe() -> None:
    """The oldest connections are closed at once when a burst arrives, also one whose request has arrived."""
    real = readiness._Connection.connection_made  # noqa: SLF001

    def connection_made(self: readiness._Connection, transport: asyncio.Transport) -> None:
        real(self, transport)
        self._close_oldest()

    patch(readiness._Connection, "connection_made", connection_made)  # noqa: SLF001


@fault(
    uncaught="no case has the API server keep silent about a request of the implementation",
    test="test_events.py::test_an_event_that_is_not_answered_holds_back_no_other",
)
def unanswered_event_holds_back_others() -> None:
    """An Event whose creation always times out, such as by a slow webhook, is sent for ever, and no other one is."""

    async def send(self: events.EventRecorder, event: Object) -> bool:
        path = f"/api/v1/namespaces/{event['metadata']['namespace']}/events"
        try:
            await self._kube.call("POST", path, event)
        except httpx.HTTPError as error:
            return isinstance(error, httpx.HTTPStatusError)
        return True

    patch(events.EventRecorder, "_send", send)


@fault(
    uncaught="CRD-01 has other malformed blocks",
    test="test_allocator.py::test_a_bad_block_says_what_is_wrong",
)
def accepts_unusable_addresses() -> None:
    """Unspecified, loopback, link-local, multicast and IPv4-mapped addresses are accepted in a pool."""
    patch(pools, "_UNUSABLE", {})


@fault(
    uncaught="CRD-01 has other malformed blocks",
    test="test_allocator.py::test_a_bad_block_says_what_is_wrong",
)
def accepts_mask_as_prefix_length() -> None:
    """A network mask or a wildcard is accepted after the slash of a block."""
    real = pools._first_and_last  # noqa: SLF001

    def first_and_last(text: str) -> tuple[pools.IP, pools.IP]:
        if "/" in text and "." in text.partition("/")[2]:
            network = ipaddress.ip_network(text, strict=False)
            return network[0], network[-1]
        return real(text)

    patch(pools, "_first_and_last", first_and_last)


@fault(
    uncaught="CRD-01 has no block of more than 100 characters",
    test="test_allocator.py::test_a_bad_block_says_what_is_wrong",
)
def long_block_repeated_in_message() -> None:
    """The reason why a pool is invalid repeats a block of any length, so that it cannot be written to the pool."""
    patch(pools, "_LONGEST", 1 << 20)


@fault(
    uncaught="no case has the API server end watches at once",
    test="test_informer.py::test_watches_that_end_at_once_are_repeated_with_growing_pauses",
)
def watches_again_without_pause() -> None:
    """A watch that ends at once is repeated without a pause, and a list after a watch that began with an error too."""
    real = informer.Informer._watch  # noqa: SLF001

    async def watch(self: informer.Informer) -> None:
        while True:
            if not self._version:
                await self._list()
            await real(self)

    patch(informer.Informer, "_watch", watch)


@fault(
    uncaught="no case requests an address with a zone",
    test="test_allocator.py::test_an_address_with_a_zone_is_no_request",
)
def accepts_address_with_zone() -> None:
    """A request for fd00::1%eth0 is met while another Service has fd00::1."""
    patch(allocate, "parse_ip", ipaddress.ip_address)
