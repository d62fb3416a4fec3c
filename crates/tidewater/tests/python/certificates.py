"""certificates.py FOLDER: an authority and a certificate of it for 127.0.0.1, in PEM."""
import os
import sys

import trustme

folder = sys.argv[1]
os.makedirs(folder)
authority = trustme.CA()
server = authority.issue_cert("127.0.0.1", "localhost")
authority.cert_pem.write_to_path(f"{folder}/ca.pem")
server.private_key_pem.write_to_path(f"{folder}/server.key")
with open(f"{folder}/server.pem", "wb") as chain:
    for part in server.cert_chain_pems:
        chain.write(part.bytes())
