"""Run Acme LB on a node: NODE_NAME and INTERFACE say which."""

import os
import signal
import sys
import time
from ipaddress import IPv4Address

from acme_lb.api import NAMESPACE, RENEW, TIMEOUT, Api, Lease
from acme_lb.assign import Service, assign, read_pools, service
from acme_lb.interface import Interface

PERIOD = 0.25
POOLS, INVALID = f"/api/v1/namespaces/{NAMESPACE}/configmaps/pools", "acme.example/invalid-pools"


def serve(api: Api, lease: Lease) -> set[int]:
    """Change the statuses to what `assign` says; return the addresses to announce: those that a status shows."""
    config, services = api("GET", POOLS), [service(raw) for raw in api("GET", "/api/v1/services")["items"]]
    blocks, errors = read_pools(config.get("data", {}))
    if config:
        flag(api, config["metadata"].get("annotations", {}).get(INVALID), "; ".join(errors) or None)
    given = assign(services, blocks, complete=bool(config) and not errors)
    announced = {address for one, address in given.items() if address in one.shown}
    for one, address in given.items():
        if one.shown == ((address,) if address else ()):
            continue
        if lease.left() < 2 * TIMEOUT:  # a write ends before the Lease does; the rest is done in the next round
            break
        if write(api, one, address) and address:
            announced.add(address)
    return announced


def flag(api: Api, shown: str | None, errors: str | None) -> None:
    """Say on the ConfigMap which pools are malformed."""
    if shown != errors:
        api("PATCH", POOLS, {"metadata": {"annotations": {INVALID: errors}}})


def write(api: Api, one: Service, address: int) -> bool:
    """Write a status; return whether it was taken. One that is refused (409: changed meanwhile) stops no other."""
    ingress = [{"ip": str(IPv4Address(address))}] if address else None
    body = {"metadata": {"resourceVersion": one.version}, "status": {"loadBalancer": {"ingress": ingress}}}
    try:
        return bool(api("PATCH", f"{one.path}/status", body))
    except OSError as error:
        print(error, flush=True)
        return False


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    api, interface, wanted = Api(), Interface(os.environ["INTERFACE"]), set()
    lease = Lease(api, os.environ["NODE_NAME"])
    try:
        while True:
            try:
                try:
                    wanted = serve(api, lease) if lease.hold() else set()
                finally:  # after an error, what was announced stays for as long as the Lease is held
                    seconds = int(max(lease.left(), 0))
                    wanted = wanted if seconds else set()
                    interface.keep(wanted, seconds, RENEW)
            except OSError as error:
                print(error, flush=True)
            time.sleep(PERIOD)
    finally:
        interface.keep(set(), 0, RENEW)
        lease.release()


if __name__ == "__main__":
    main()
