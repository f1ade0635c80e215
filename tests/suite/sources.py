"""Sources of checks, which the tests of the command run on a fake lab."""

HEAD = "from lbproof.context import CannotShow, proves\nfrom lbproof.spec import Untestable\n"
PASSES = HEAD + '@proves("POOL-01")\ndef test_passes(check): pass\n'
FAILS = PASSES + '@proves("L2-01")\ndef test_fails(check): assert 1 == 2, "two nodes answer"\n'
