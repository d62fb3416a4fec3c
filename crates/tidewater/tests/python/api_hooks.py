"""What schemathesis must be told: bodies of MessagePack are bytes."""
import msgpack
import schemathesis


@schemathesis.serializer("application/msgpack")
def pack(_context, value):
    return value if isinstance(value, bytes) else msgpack.packb(value)
