# Makes a PKI for the tests in the current folder: a CA, a server and a client.
set -eu
key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
key ca
openssl req -x509 -new -key ca.key -days 30 -subj "/CN=lab-ca" -out ca.crt
for end in server client; do
    key "$end"
    openssl req -new -key "$end.key" -subj "/CN=lab-$end" -out "$end.csr"
    printf 'extendedKeyUsage=%sAuth\nkeyUsage=digitalSignature\n' "$end" >"$end.ext"
    openssl x509 -req -in "$end.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
        -extfile "$end.ext" -out "$end.crt" 2>"$end.log"
done
